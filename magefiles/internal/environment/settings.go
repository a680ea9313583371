package environment

import (
	"fmt"

	"caslab/magefiles/internal/state"
)

// An existing environment is verified, not created again. Its settings are
// recorded, so that a setting that changed since is noticed.

// fixedSettings are the keys of the settings that an existing environment cannot change.
// The versions are not among them: the cluster itself is asked for those.
var fixedSettings = map[string]bool{
	"workers": true, "nodeImage": true, "certManager": true,
	"clusterAPI.source": true, "clusterAPI.git": true, "clusterAPI.commit": true, "clusterAPI.dir": true,
}

func (e *Environment) settingsFile() string {
	return e.State.Path("owner", e.Config.ClusterName+".settings.json")
}

// recordSettings records the settings with which the environment is created.
func (e *Environment) recordSettings() error {
	settings := map[string]string{}
	for _, v := range e.Config.Values() {
		if fixedSettings[v.Key] {
			settings[v.Key] = v.Value
		}
	}
	if err := state.WriteJSON(e.settingsFile(), settings); err != nil {
		return fmt.Errorf("record the environment's settings: %w", err)
	}
	return nil
}

// recordedSettings returns what recordSettings recorded; nil if there is no record.
func (e *Environment) recordedSettings() (recorded map[string]string, err error) {
	if _, err := state.ReadJSON(e.settingsFile(), &recorded); err != nil {
		return nil, fmt.Errorf("read the settings that the environment was created with: %w", err)
	}
	return recorded, nil
}

// printChanges says which settings changed since the environment was created, and
// what to type to apply them.
func (e *Environment) printChanges() error {
	before, err := e.recordedSettings()
	if err != nil || before == nil {
		return err
	}
	for _, v := range e.Config.Values() {
		was, recorded := before[v.Key]
		if recorded && was != v.Value {
			e.Log.Printf("! it was created with %s=%s, and the settings want %q; to create it again, type: %s && %s", v.Env, was, v.Value, downCommand(e.Config.ClusterName), commandFor(e.Config.ClusterName, "env:up"))
		}
	}
	return nil
}
