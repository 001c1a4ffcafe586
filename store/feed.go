package store

// Line is a text in a stream that all hosts write to and read. Its ID is greater
// than those of the lines before it.
type Line struct {
	ID   string
	Text []byte
}
