package node

import (
	"context"
	"path/filepath"

	"caslab/magefiles/internal/state"
)

// keptImages has the IDs of the images that this checkout built or used, by the engine and the
// reference. Another image may get a reference at any time, by docker tag or docker commit.
func (o Options) keptImages() (file string, ids map[string]string) {
	file, ids = filepath.Join(o.StateDir, "node", "images.json"), map[string]string{}
	if _, err := state.ReadJSON(file, &ids); err != nil {
		return file, map[string]string{} // as if it were lost
	}
	return file, ids
}

// keep records which image ref names now.
func (o Options) keep(ctx context.Context, ref string) error {
	id, ok, err := o.Engine.ImageID(ctx, ref)
	if err != nil || !ok {
		return err
	}
	return o.record(ref, id)
}

func (o Options) record(ref, id string) error {
	file, ids := o.keptImages()
	ids[o.EngineID+" "+ref] = id
	return state.WriteJSON(file, ids)
}

// has reports whether the engine has the image that this checkout built or used as ref. It trusts an
// image that this checkout has not used before. If ref names another image than before, has gives the
// name back to the earlier image. If the earlier image is gone, has returns false, and the caller
// builds it again.
func (o Options) has(ctx context.Context, ref string) (bool, error) {
	id, ok, err := o.Engine.ImageID(ctx, ref)
	if err != nil || !ok {
		return false, err
	}
	_, ids := o.keptImages()
	switch kept := ids[o.EngineID+" "+ref]; {
	case kept == id:
		return true, nil
	case kept == "":
		return true, o.record(ref, id)
	case o.Engine.Tag(ctx, kept, ref) == nil:
		o.warn("! the image %s was not the one that the lab built: the name is given back to that", ref)
		return true, nil
	default:
		o.warn("! the image %s is not the one that the lab built, which is gone: making it again", ref)
		return false, nil
	}
}
