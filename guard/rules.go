package guard

// Rules are a Config made ready for use. They are immutable.
type Rules struct{ Config }
