package repository

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
)

// A lab's cluster does not live for years, and nobody renews its certificates.
const (
	lifetime = 10 * 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour
)

const injectAnnotation = "cert-manager.io/inject-ca-from"

// authority issues the webhooks' serving certificates in cert-manager's place.
// Its own certificate and those it issued are kept in dir.
type authority struct {
	dir  string
	now  func() time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate and its key, PEM-encoded.
type pair struct{ cert, key []byte }

func openAuthority(dir string, now func() time.Time) (*authority, error) {
	a := &authority{dir: dir, now: now}
	p, err := a.keep("ca", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	if a.cert, a.key, err = p.parse(); err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	a.pem = p.cert
	return a, nil
}

// keep returns the kept certificate of name if it still does, else a new one:
// issued by a, or self-signed while a has no certificate of its own.
func (a *authority) keep(name string, dnsNames, organizations []string) (pair, error) {
	certPath, keyPath := filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	var kept pair
	var err error
	if kept.cert, err = os.ReadFile(certPath); err == nil {
		if kept.key, err = os.ReadFile(keyPath); err == nil && a.serves(kept, dnsNames) {
			return kept, nil
		}
	}
	made, err := a.issue(name, dnsNames, organizations)
	if err != nil {
		return pair{}, err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return pair{}, err
	}
	return made, errors.Join(writeFile(certPath, made.cert), writeFile(keyPath, made.key))
}

func (a *authority) serves(p pair, dnsNames []string) bool {
	cert, _, err := p.parse()
	if err != nil || !slices.Equal(cert.DNSNames, dnsNames) {
		return false
	}
	if now := a.now(); now.Before(cert.NotBefore) || now.Add(renewal).After(cert.NotAfter) {
		return false
	}
	return a.cert == nil || cert.CheckSignatureFrom(a.cert) == nil
}

func (a *authority) issue(name string, dnsNames, organizations []string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return pair{}, fmt.Errorf("make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "caslab " + name, Organization: organizations},
		DNSNames:     dnsNames,
		// An hour back: nodes of a just woken laptop may be behind.
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
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encode the key: %w", err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func (p pair) parse() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certBlock, _ := pem.Decode(p.cert)
	keyBlock, _ := pem.Decode(p.key)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, errors.New("not PEM")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, errors.New("the key is not that of the certificate")
	}
	return cert, key, nil
}

// replaceCertManager returns the objects with a Secret in the place of every
// Certificate, without Issuers, and with the authority wherever cert-manager
// would have injected its own. Deployments come last: clusterctl creates
// objects in their order, and a pod that starts before its Secret is there
// waits for kubelet's next try.
func (a *authority) replaceCertManager(objects []map[string]any) ([]map[string]any, error) {
	var kept, deployments []map[string]any
	for _, object := range objects {
		if group, _, _ := strings.Cut(text(object, "apiVersion"), "/"); group == "cert-manager.io" {
			if kind(object) != "Certificate" {
				continue
			}
			secret, err := a.secret(object)
			if err != nil {
				return nil, err
			}
			kept = append(kept, secret)
			continue
		}
		if kind(object) == "Deployment" {
			deployments = append(deployments, object)
			continue
		}
		a.inject(object)
		kept = append(kept, object)
	}
	return append(kept, deployments...), nil
}

// secret is what cert-manager would have made of a Certificate.
func (a *authority) secret(certificate map[string]any) (map[string]any, error) {
	namespace, name := text(certificate, "metadata", "namespace"), text(certificate, "spec", "secretName")
	dnsNames := texts(field(certificate, "spec", "dnsNames"))
	if name == "" || len(dnsNames) == 0 {
		return nil, fmt.Errorf("Certificate %s/%s: no secretName or no dnsNames", namespace, text(certificate, "metadata", "name"))
	}
	p, err := a.keep(namespace+"."+name, dnsNames, texts(field(certificate, "spec", "subject", "organizations")))
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

// inject has the object's webhooks trust the authority, if it asks
// cert-manager for that.
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
