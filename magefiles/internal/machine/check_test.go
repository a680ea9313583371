package machine

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestPass(t *testing.T) {
	t.Parallel()
	var made []string
	check := func(name string, verdict Verdict) Check {
		return Check{Name: name, Find: func(context.Context) Finding {
			made = append(made, name)
			return Finding{Check: name, Verdict: verdict, Found: "little", ToDo: "buy more", Err: errors.New("no " + name)}
		}}
	}
	doctors := check("proxy", Failure)
	doctors.Doctor = true
	checks := []Check{check("engine", OK), check("disk", Warning), doctors, check("go", Note)}
	var said []string
	warnings, err := Pass(t.Context(), checks, func(text string) { said = append(said, text) })
	if err != nil || !slices.Equal(warnings, []string{"disk: little; buy more"}) || !slices.Equal(made, []string{"engine", "disk", "go"}) || !slices.Equal(said, made) {
		t.Errorf("Pass() = %q, %v after %q", warnings, err, made)
	}
	made = nil
	warnings, err = Pass(t.Context(), append([]Check{check("disk", Warning), check("memory", Failure)}, checks...), func(string) {})
	if err == nil || err.Error() != "no memory" || len(warnings) != 1 || !slices.Equal(made, []string{"disk", "memory"}) {
		t.Errorf("Pass() = %q, %v after %q", warnings, err, made)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	if _, err := Pass(ctx, checks, func(string) {}); !errors.Is(err, stop) {
		t.Errorf("Pass() = %v after an interruption", err)
	}
}

// TestFindAll: a check does not wait for the one before.
func TestFindAll(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	findings := FindAll(t.Context(), []Check{
		{Find: func(context.Context) Finding { <-second; return Finding{Check: "first"} }},
		{Find: func(context.Context) Finding { close(second); return Finding{Check: "second"} }},
	})
	if len(findings) != 2 || findings[0].Check != "first" || findings[1].Check != "second" {
		t.Errorf("FindAll() = %+v", findings)
	}
}
