// Package redact hides the credentials of URLs in texts for people and logs.
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hidden replaces a credential, as in net/url's Redacted.
const hidden = "xxxxx"

// authority matches the scheme and the user information of a URL. A password
// may hold an @ that its author did not escape: the last @ before the path ends
// the user information.
var authority = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*)://([^\s/]*)@`)

// shells are the schemes in which the user is not a credential, as in ssh://git@host.
var shells = []string{"ssh", "git+ssh", "ssh+git", "sftp"}

// Text returns text with the credentials of all URLs in it hidden. The user is hidden
// too, except in URLs of shells, because many servers accept a token as the user.
func Text(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return authority.ReplaceAllStringFunc(text, func(match string) string {
		parts := authority.FindStringSubmatch(match)
		return parts[1] + "://" + user(parts[1], parts[2]) + "@"
	})
}

func user(scheme, info string) string {
	name, _, hasPassword := strings.Cut(info, ":")
	switch {
	case !slices.Contains(shells, strings.ToLower(scheme)):
		return hidden
	case hasPassword:
		return name + ":" + hidden
	}
	return name
}

// URL returns raw, which is one URL and nothing else, with its credentials hidden. If
// net/url cannot parse it, everything before the last @ is hidden, because a password may
// have a slash in it.
func URL(raw string) string {
	if _, err := url.Parse(raw); err == nil {
		return Text(raw)
	}
	scheme, rest, found := strings.Cut(raw, "://")
	at := strings.LastIndex(rest, "@")
	if !found || at < 0 {
		return raw
	}
	return scheme + "://" + hidden + rest[at:]
}

// Err returns err with the credentials in its message hidden. errors.Is and errors.As work
// as for err. It returns nil for nil.
func Err(err error) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	if text := Text(message); text != message {
		return &redacted{message: text, err: err}
	}
	return err
}

type redacted struct {
	message string
	err     error
}

func (e *redacted) Error() string { return e.message }

// Unwrap returns the error whose message is not redacted.
func (e *redacted) Unwrap() error { return e.err }
