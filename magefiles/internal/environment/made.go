package environment

import (
	"fmt"

	"caslab/magefiles/internal/state"
)

// An existing environment is verified, not created again. Its settings are
// recorded, so that a setting that changed since is noticed.

// lasting are the keys of the settings that an existing environment cannot change.
// The versions are not among them: the cluster itself is asked for those.
var lasting = map[string]bool{
	"workers": true, "nodeImage": true, "certManager": true,
	"clusterAPI.source": true, "clusterAPI.git": true, "clusterAPI.commit": true, "clusterAPI.dir": true,
}

func (e *Environment) madeFile() string {
	return e.State.Path("owner", e.Config.ClusterName+".settings.json")
}

// recordMade records the settings with which the environment is created.
func (e *Environment) recordMade() error {
	made := map[string]string{}
	for _, v := range e.Config.Values() {
		if lasting[v.Key] {
			made[v.Key] = v.Value
		}
	}
	if err := state.WriteJSON(e.madeFile(), made); err != nil {
		return fmt.Errorf("record what the environment is made with: %w", err)
	}
	return nil
}

// made returns the settings that recordMade recorded; nil if there are none.
func (e *Environment) made() (made map[string]string, err error) {
	if _, err := state.ReadJSON(e.madeFile(), &made); err != nil {
		return nil, fmt.Errorf("read what the environment was made with: %w", err)
	}
	return made, nil
}

// tellChanges says which settings changed since the environment was created, and
// what to type to apply them.
func (e *Environment) tellChanges() error {
	made, err := e.made()
	if err != nil || made == nil {
		return err
	}
	for _, v := range e.Config.Values() {
		before, recorded := made[v.Key]
		if recorded && before != v.Value {
			e.Log.Printf("! it was made with %s=%s, and the settings want %q; to make it anew, type: %s && %s", v.Env, before, v.Value, downOf(e.Config.ClusterName), typed(e.Config.ClusterName, "env:up"))
		}
	}
	return nil
}
