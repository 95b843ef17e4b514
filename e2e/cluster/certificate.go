package cluster

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// certificateFor is how long the webhook's certificate holds; MetalLB's controller replaces it before.
const certificateFor = 10 * 365 * 24 * time.Hour

// metalLBSecrets are the two Secrets that MetalLB's pods mount: the webhook's certificate and the speakers' common key, in
// the form that MetalLB v0.15 gives them itself.
func metalLBSecrets() ([]*corev1.Secret, error) {
	certificate, err := webhookCertificate("metallb-webhook-service."+metalLBNamespace+".svc", time.Now())
	if err != nil {
		return nil, fmt.Errorf("make MetalLB's webhook certificate: %w", err)
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails, says crypto/rand
	named := func(name string, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metalLBNamespace}, Data: data}
	}
	return []*corev1.Secret{
		named("metallb-webhook-cert", certificate),
		named("memberlist", map[string][]byte{"secretkey": []byte(base64.RawStdEncoding.EncodeToString(key))}),
	}, nil
}

// webhookCertificate is a new authority and a server certificate by it: ca.crt, ca.key, tls.crt and tls.key, PEM.
func webhookCertificate(server string, now time.Time) (map[string][]byte, error) {
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateFor), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	}
	// the controller keeps an authority only if it has the name that the controller gives its own
	authority := template(1, "cert")
	authority.Subject.Organization = []string{"metallb"}
	authority.IsCA = true
	authority.KeyUsage |= x509.KeyUsageCertSign
	leaf := template(2, server)
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

	authorityKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	leafKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	for name, block := range map[string]*pem.Block{
		"ca.crt":  {Type: "CERTIFICATE", Bytes: authorityDER},
		"ca.key":  {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(authorityKey)},
		"tls.crt": {Type: "CERTIFICATE", Bytes: leafDER},
		"tls.key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(leafKey)},
	} {
		data[name] = pem.EncodeToMemory(block)
	}
	return data, nil
}
