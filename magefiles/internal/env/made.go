package env

import (
	"fmt"

	"caslab/magefiles/internal/state"
)

// An environment that is there is taken up and verified, not made again. What
// it was made with is recorded, so that a setting which changed since does not
// go unnoticed.

// lasting are the keys of the settings that are decided when the environment is
// made, but for the versions, which the cluster itself tells.
var lasting = map[string]bool{
	"workers": true, "nodeImage": true, "certManager": true,
	"clusterAPI.source": true, "clusterAPI.git": true, "clusterAPI.commit": true, "clusterAPI.dir": true,
}

func (l *Lab) madeFile() string { return l.path("owner", l.cfg.ClusterName+".settings.json") }

// recordMade records the settings that the environment is made with.
func (l *Lab) recordMade() error {
	made := map[string]string{}
	for _, v := range l.cfg.Values() {
		if lasting[v.Key] {
			made[v.Key] = v.Value
		}
	}
	if err := state.WriteJSON(l.madeFile(), made); err != nil {
		return fmt.Errorf("record what the environment is made with: %w", err)
	}
	return nil
}

// made is what recordMade recorded; nil if it did not.
func (l *Lab) made() (made map[string]string, err error) {
	if _, err := state.ReadJSON(l.madeFile(), &made); err != nil {
		return nil, fmt.Errorf("read what the environment was made with: %w", err)
	}
	return made, nil
}

// tellChanges says which settings the environment was made without, and what to
// type to have them.
func (l *Lab) tellChanges() error {
	made, err := l.made()
	if err != nil || made == nil {
		return err
	}
	for _, v := range l.cfg.Values() {
		before, recorded := made[v.Key]
		if recorded && before != v.Value {
			l.log.Printf("! it was made with %s=%s, and the settings want %q; to make it anew, type: %s && %s", v.Env, before, v.Value, downOf(l.cfg.ClusterName), typed(l.cfg.ClusterName, "env:up"))
		}
	}
	return nil
}
