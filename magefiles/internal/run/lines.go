package run

import "bytes"

// Lines is an io.Writer that calls Each with every line that ended, without its end.
// Several goroutines must not write at the same time.
type Lines struct {
	Each func(line string)
	rest []byte
}

// Write implements io.Writer. It never fails.
func (l *Lines) Write(data []byte) (int, error) {
	l.rest = append(l.rest, data...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte{'\n'})
		if !found {
			return len(data), nil
		}
		l.Each(string(line))
		l.rest = bytes.Clone(rest)
	}
}
