package redact_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"caslab/magefiles/internal/redact"
)

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"clone https://user:token@host/a b":              "clone https://xxxxx@host/a b",
		"https://token@host/a and HTTP://u:p@h":          "https://xxxxx@host/a and HTTP://xxxxx@h",
		`"https://token:x-oauth-basic@host:8443/a": EOF`: `"https://xxxxx@host:8443/a": EOF`,
		"https://user:p@ss:w#rd?@host":                   "https://xxxxx@host",
		"HTTPS_PROXY=http://user:token@proxy:3128":       "HTTPS_PROXY=http://xxxxx@proxy:3128",
		"socks5://user:token@proxy":                      "socks5://xxxxx@proxy",
		"ssh://git@host/a":                               "ssh://git@host/a",
		"ssh://git:token@host/a":                         "ssh://git:xxxxx@host/a",
		"git@github.com:kubernetes/autoscaler":           "git@github.com:kubernetes/autoscaler",
		"https://modules.example.com/a/@v/v1.2.3.info":   "https://modules.example.com/a/@v/v1.2.3.info",
		"GET https://host/a?b=c and x@y":                 "GET https://host/a?b=c and x@y",
		"nothing":                                        "nothing",
		"":                                               "",
	} {
		if got := redact.Text(text); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://user:token@host/a":     "https://xxxxx@host/a",
		"https://user:to/ken@host/a":    "https://xxxxx@host/a",
		"https://user:to%ken@host/a":    "https://xxxxx@host/a",
		"https://user:t/o%k@en@host":    "https://xxxxx@host",
		"https://host:port/a":           "https://host:port/a",
		"https://host/a":                "https://host/a",
		"git@host:a":                    "git@host:a",
		"file:///srv/a":                 "file:///srv/a",
		"ssh://git@host/a":              "ssh://git@host/a",
		"not a URL: user:token at host": "not a URL: user:token at host",
	} {
		if got := redact.URL(raw); got != want {
			t.Errorf("URL(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestErr(t *testing.T) {
	t.Parallel()
	if redact.Err(nil) != nil {
		t.Error("no error became one")
	}
	plain := errors.New("https://host")
	if got := redact.Err(plain); errors.Unwrap(got) != nil || got.Error() != "https://host" {
		t.Error("an error without credentials was wrapped")
	}
	err := fmt.Errorf("list: %w", redact.Err(fmt.Errorf("https://user:token@host: %w", fs.ErrNotExist)))
	if got, want := err.Error(), "list: https://xxxxx@host: file does not exist"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("its cause is lost")
	}
}

// FuzzText: a password between a URL's colon and its last @ is always removed.
func FuzzText(f *testing.F) {
	f.Add("secret")
	f.Add("se@cr:et")
	f.Fuzz(func(t *testing.T, secret string) {
		around := "say https://user:@host/path xxxxx"
		if len(secret) < 6 || strings.ContainsAny(secret, "/ \t\r\n\v\f") || strings.Contains(around, secret) {
			return
		}
		for _, r := range secret {
			if r > 126 || r < 33 {
				return
			}
		}
		if got := redact.Text("say https://user:" + secret + "@host/path"); strings.Contains(got, secret) {
			t.Errorf("Text() left it: %q", got)
		}
	})
}
