package state

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestGuests(t *testing.T) {
	t.Parallel()
	dir := Dir(t.TempDir())
	none := func(when string) {
		t.Helper()
		if guests, err := dir.Guests("work"); err != nil || len(guests) > 0 {
			t.Errorf("%s: %q, %v", when, guests, err)
		}
	}
	none("at first")
	guest, err := dir.Enter("work", "autoscaler:run")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Enter("work-2", "timeline:watch"); err != nil {
		t.Fatal(err)
	}
	if guests, err := dir.Guests("work"); err != nil || len(guests) != 1 || !strings.HasPrefix(guests[0], fmt.Sprintf("autoscaler:run (process %d, since ", os.Getpid())) {
		t.Errorf("Guests() = %q, %v", guests, err)
	}
	// As another container's process with this process's ID would do.
	second, err := dir.Enter("work", "scenario:run")
	if err != nil {
		t.Fatal(err)
	}
	if guests, err := dir.Guests("work"); err != nil || len(guests) != 2 {
		t.Errorf("Guests() = %q, %v, want two", guests, err)
	}
	if err := errors.Join(dir.Leave(guest), dir.Leave(second)); err != nil {
		t.Error(err)
	}
	none("at the end")

	killed := dir.lockPath("guest.work.1")
	if err := os.WriteFile(killed, []byte("scenario:run (process 1, since 10:00:00)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none("after it was killed")
	if there, err := Exists(killed); there || err != nil {
		t.Errorf("its file stays: %v", err)
	}

	if guest, err = dir.Enter("work", "autoscaler:run"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		t.Fatal(err)
	}
	if err := dir.Leave(guest); err != nil {
		t.Errorf("without the folder: %v", err)
	}
}

// TestGuestsWhileTheyLeave: a guest that leaves while somebody looks is no error for either.
func TestGuestsWhileTheyLeave(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	const visits = 300
	left := make(chan error, 1)
	go func() {
		for range visits {
			guest, err := d.Enter("work", "scenario:run")
			if err == nil {
				err = d.Leave(guest)
			}
			if err != nil {
				left <- err
				return
			}
		}
		left <- nil
	}()
	for {
		if _, err := d.Guests("work"); err != nil {
			t.Error(err)
		}
		select {
		case err := <-left:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
