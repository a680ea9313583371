package build

// Kind returns the build of the kind command at the version that the module in root
// requires.
func Kind(root, output string) Request { return command(root, "sigs.k8s.io/kind", output) }

// Kubectl returns the build of the kubectl command at the version that the module in dir
// requires.
func Kubectl(dir, output string) Request {
	return command(dir, "k8s.io/kubernetes/cmd/kubectl", output)
}

// command returns the build of a program of another module, for this machine.
func command(dir, pkg, output string) Request {
	return Request{Dir: dir, Packages: []string{pkg}, Output: output, ID: pinsID(dir), Host: true}
}
