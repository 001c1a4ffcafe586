package maillog

// sessions remembers which client a process serves.
type sessions struct{}
