package memory

// Health tells whether what is learnt reaches the disk, and in a few words which
// file that is, or why it does not. A store without a file keeps what it was
// asked to keep.
func (s *Store) Health() (ok bool, detail string) {
	if s.file == nil {
		return true, "memory only"
	}
	return s.file.Health()
}
