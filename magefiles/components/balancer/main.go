// Command haproxy runs the next program haproxy in PATH, with a limit on the number of
// its connections. The limit wins over maxconn in HAProxy's configuration. It applies,
// whatever starts HAProxy, in an image whose PATH has this command before HAProxy.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const maxConnections = "4000"

func main() {
	self, err := os.Executable()
	if err == nil {
		var program string
		if program, err = next(self, filepath.SplitList(os.Getenv("PATH"))); err == nil {
			args := append([]string{program, "-n", maxConnections}, os.Args[1:]...)
			err = syscall.Exec(program, args, os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, "haproxy with a bound:", err)
	os.Exit(1)
}

// next returns the first program in dirs that has the name of self and is not self.
func next(self string, dirs []string) (string, error) {
	own, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, filepath.Base(self))
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 && !os.SameFile(info, own) {
			return path, nil
		}
	}
	return "", errors.New("no other program of this name is in PATH")
}
