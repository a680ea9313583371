// Package settings records the settings with which an environment was created. An existing
// environment is verified, not created again, so a setting that changed since is noticed.
package settings

import (
	"fmt"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/state"
)

// fixed are the keys of the settings that an existing environment cannot change. The
// versions are not among them: the cluster itself is asked for those.
var fixed = map[string]bool{
	"workers": true, "nodeImage": true, "certManager": true,
	"clusterAPI.source": true, "clusterAPI.git": true, "clusterAPI.commit": true, "clusterAPI.dir": true,
}

// Record writes the settings that an existing environment cannot change into a file.
func Record(file string, values []config.Value) error {
	recorded := map[string]string{}
	for _, v := range values {
		if fixed[v.Key] {
			recorded[v.Key] = v.Value
		}
	}
	if err := state.WriteJSON(file, recorded); err != nil {
		return fmt.Errorf("record the environment's settings: %w", err)
	}
	return nil
}

// Change is a setting that changed since it was recorded.
type Change struct {
	config.Value
	Was string
}

// Changes returns the settings that differ from those that Record wrote into the file. It
// returns none if there is no file.
func Changes(file string, values []config.Value) ([]Change, error) {
	var recorded map[string]string
	if _, err := state.ReadJSON(file, &recorded); err != nil {
		return nil, fmt.Errorf("read the settings that the environment was created with: %w", err)
	}
	var changes []Change
	for _, v := range values {
		if was, ok := recorded[v.Key]; ok && was != v.Value {
			changes = append(changes, Change{Value: v, Was: was})
		}
	}
	return changes, nil
}
