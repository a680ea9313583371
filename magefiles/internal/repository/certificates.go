package repository

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// lifetime is how long certificates are valid: longer than a cluster of the lab
// lives, because nobody renews them. A stored certificate that expires within
// renewal is replaced.
const (
	lifetime = 10 * 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour
)

const injectAnnotation = "cert-manager.io/inject-ca-from"

// authority issues the serving certificates of webhooks in cert-manager's place.
type authority struct {
	// dir has the authority's own certificate and those that it issued.
	dir string
	now func() time.Time
	// cert, key and pem are the authority's own; nil until they exist.
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// pair is a certificate and its private key, PEM-encoded.
type pair struct{ cert, key []byte }

// openAuthority returns the authority in dir, and creates one if there is none.
func openAuthority(dir string, now func() time.Time) (*authority, error) {
	a := &authority{dir: dir, now: now}
	p, err := a.certificate("ca", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	if a.cert, a.key, err = p.parse(); err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	a.pem = p.cert
	return a, nil
}

// certificate returns the certificate called name: the one in dir if it is still good,
// otherwise a new one.
func (a *authority) certificate(name string, dnsNames, organizations []string) (pair, error) {
	certPath, keyPath := filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	var there pair
	var err error
	if there.cert, err = os.ReadFile(certPath); err == nil {
		if there.key, err = os.ReadFile(keyPath); err == nil && a.isGood(there, dnsNames) {
			return there, nil
		}
	}
	issued, err := a.issue(name, dnsNames, organizations)
	if err != nil {
		return pair{}, err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return pair{}, err
	}
	return issued, errors.Join(writeFile(certPath, issued.cert), writeFile(keyPath, issued.key))
}

// isGood reports whether p is for exactly those names, lasts long enough, and is
// signed by the authority.
func (a *authority) isGood(p pair, dnsNames []string) bool {
	cert, _, err := p.parse()
	if err != nil || !slices.Equal(cert.DNSNames, dnsNames) {
		return false
	}
	if now := a.now(); now.Before(cert.NotBefore) || now.Add(renewal).After(cert.NotAfter) {
		return false
	}
	return a.cert == nil || cert.CheckSignatureFrom(a.cert) == nil
}

// issue makes a certificate: one that the authority signs, or, while it has none
// of its own, one that signs itself.
func (a *authority) issue(name string, dnsNames, organizations []string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return pair{}, fmt.Errorf("make a serial number: %w", err)
	}
	// client-go's util/cert can issue certificates, but only with the machine's clock.
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "caslab " + name, Organization: organizations},
		DNSNames:     dnsNames,
		// An hour ago, because the clocks of nodes may be behind after a laptop was asleep.
		NotBefore:   a.now().Add(-time.Hour),
		NotAfter:    a.now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign the certificate: %w", err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return pair{}, fmt.Errorf("encode the key: %w", err)
	}
	return pair{cert: pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der}), key: encoded}, nil
}

// parse reads a certificate and its key, which must belong together.
func (p pair) parse() (*x509.Certificate, crypto.Signer, error) {
	both, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, nil, err
	}
	key, ok := both.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("a key of the type %T cannot sign", both.PrivateKey)
	}
	return both.Leaf, key, nil
}

// replaceCertManager returns the objects with a Secret in place of every
// Certificate, without Issuers, and with the authority's certificate wherever
// cert-manager would have injected one. Deployments come last: clusterctl creates
// objects in their order, and a pod that starts before its Secret exists waits
// until kubelet tries again.
func (a *authority) replaceCertManager(objects []map[string]any) ([]map[string]any, error) {
	var others, deployments []map[string]any
	for _, object := range objects {
		if group, _, _ := strings.Cut(text(object, "apiVersion"), "/"); group == "cert-manager.io" {
			if kind(object) != "Certificate" {
				continue
			}
			secret, err := a.secret(object)
			if err != nil {
				return nil, err
			}
			others = append(others, secret)
			continue
		}
		if kind(object) == "Deployment" {
			deployments = append(deployments, object)
			continue
		}
		a.inject(object)
		others = append(others, object)
	}
	return append(others, deployments...), nil
}

// secret returns the Secret that cert-manager would create for a Certificate.
func (a *authority) secret(certificate map[string]any) (map[string]any, error) {
	namespace, name := text(certificate, "metadata", "namespace"), text(certificate, "spec", "secretName")
	dnsNames := texts(field(certificate, "spec", "dnsNames"))
	if name == "" || len(dnsNames) == 0 {
		return nil, fmt.Errorf("Certificate %s/%s: no secretName or no dnsNames", namespace, text(certificate, "metadata", "name"))
	}
	p, err := a.certificate(namespace+"."+name, dnsNames, texts(field(certificate, "spec", "subject", "organizations")))
	if err != nil {
		return nil, fmt.Errorf("issue the certificate %s/%s: %w", namespace, name, err)
	}
	encode := base64.StdEncoding.EncodeToString
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"name": name, "namespace": namespace, "labels": field(certificate, "metadata", "labels")},
		"type":       "kubernetes.io/tls",
		"data":       map[string]any{"tls.crt": encode(p.cert), "tls.key": encode(p.key), "ca.crt": encode(a.pem)},
	}, nil
}

// inject adds the authority's certificate to the object's webhooks, so that the API
// server trusts them, if an annotation asks cert-manager to do that.
func (a *authority) inject(object map[string]any) {
	annotations, _ := field(object, "metadata", "annotations").(map[string]any)
	if _, asks := annotations[injectAnnotation]; !asks {
		return
	}
	delete(annotations, injectAnnotation)
	var clients []any
	if webhooks, ok := object["webhooks"].([]any); ok {
		for _, w := range webhooks {
			webhook, _ := w.(map[string]any)
			clients = append(clients, webhook["clientConfig"])
		}
	}
	clients = append(clients, field(object, "spec", "conversion", "webhook", "clientConfig"))
	for _, c := range clients {
		if client, ok := c.(map[string]any); ok {
			client["caBundle"] = base64.StdEncoding.EncodeToString(bytes.TrimSpace(a.pem))
		}
	}
}

func texts(list any) []string {
	items, _ := list.([]any)
	var all []string
	for _, item := range items {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
