// Package home knows what an environment has on this machine: its files in the state folder,
// its containers, and the way to its API server.
package home

import (
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/state"
)

const (
	// Namespace is the namespace of the Cluster API objects of every environment.
	Namespace = "default"
	// PodCIDR has a /24 for each of 1,024 nodes.
	PodCIDR     = "10.244.0.0/14"
	ServiceCIDR = "10.96.0.0/16"
)

// Home is what one environment has on this machine. Its Owner finds the containers.
type Home struct{ owner.Owner }

// New returns the home of the environment with that name, whose management cluster has the
// other name.
func New(name, management string, dir state.Dir, e *engine.Engine) Home {
	return Home{owner.Owner{Environment: name, Management: management, State: dir, Engine: e, EngineFile: dir.Path("owner", name+".engine")}}
}
