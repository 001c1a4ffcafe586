//go:build !unix

package memory

import "errors"

func mapBlock(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapBlock([]byte) {}
