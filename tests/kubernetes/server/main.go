// An API server of Kubernetes for tests: etcd in this process, kube-apiserver beside it, nothing else.
//
// It listens on loopback, on a free port. It prints a line of JSON when it can be used, and takes orders on standard
// input, a word a line:
//
//	kill    ends kube-apiserver at once, as if the machine had failed; etcd stays. Answered by {"killed":true}
//	start   starts it again on the same port. Answered when it is ready, as at the beginning
//
// When standard input ends, however its other end came to be closed, everything ends and the data is removed.
package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const (
	loopback = "127.0.0.1"
	services = "10.43.0.0/16"
	apiName  = "kube-apiserver"
	patience = 120 * time.Second
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == apiName {
		os.Args = os.Args[1:]
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes for tests:", err)
		os.Exit(1)
	}
}

// What is said when the API server can be used.
type ready struct {
	Server     string `json:"server"`
	Kubeconfig string `json:"kubeconfig"`
	Token      string `json:"token"`
}

// The API server with all that it needs to be started again.
type server struct {
	folder, address, token string
	port                   int
	authorities            *x509.CertPool
	process                *exec.Cmd
	ended                  chan error
}

func serve() error {
	folder, err := os.MkdirTemp("", "weir-kubernetes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	etcd, err := startEtcd(folder)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	s, kubeconfig, err := prepare(folder)
	if err != nil {
		return err
	}
	defer s.kill()
	said := json.NewEncoder(os.Stdout)
	start := func() error {
		if err := s.start(); err != nil {
			return err
		}
		return said.Encode(ready{Server: s.address, Kubeconfig: kubeconfig, Token: s.token})
	}
	if err := start(); err != nil {
		return err
	}
	orders := make(chan string)
	go func() {
		defer close(orders)
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			orders <- lines.Text()
		}
	}()
	for {
		select {
		case order, more := <-orders:
			switch {
			case !more:
				return nil
			case order == "kill":
				s.kill()
				if err := said.Encode(map[string]bool{"killed": true}); err != nil {
					return err
				}
			case order == "start":
				if err := start(); err != nil {
					return err
				}
			default:
				return fmt.Errorf("unknown order %q", order)
			}
		case err := <-s.ended:
			return fmt.Errorf("%s ended: %v\n%s", apiName, err, s.log())
		}
	}
}

// etcd on a Unix socket of this user, without the care for data that tests do not need.
func startEtcd(folder string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Name = "default"
	config.Dir = filepath.Join(folder, "etcd")
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(folder, "etcd.sock")}}
	// Nobody dials the advertised addresses, but they have to look like some.
	config.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: loopback + ":2379"}}
	config.ListenPeerUrls = []url.URL{{Scheme: "http", Host: loopback + ":0"}}
	config.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: loopback + ":2380"}}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "error"
	config.LogOutputs = []string{filepath.Join(folder, "etcd.log")}
	config.UnsafeNoFsync = true
	config.TickMs, config.ElectionMs = 20, 200
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case <-time.After(patience):
		etcd.Close()
		return nil, fmt.Errorf("not ready after %s", patience)
	}
}

// Certificates, keys, a token, and the kubeconfig of an administrator.
func prepare(folder string) (*server, string, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return nil, "", err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()

	authority, key, err := certificate(folder, "ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, nil)
	if err != nil {
		return nil, "", err
	}
	templates := map[string]*x509.Certificate{
		"server": {
			Subject:     pkix.Name{CommonName: apiName},
			DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
			IPAddresses: []net.IP{net.ParseIP(loopback)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
		},
		"admin": {
			Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
		},
		"accounts": {Subject: pkix.Name{CommonName: "accounts"}},
	}
	for name, template := range templates {
		if _, _, err := certificate(folder, name, template, authority, key); err != nil {
			return nil, "", err
		}
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return nil, "", err
	}
	s := &server{
		folder: folder, port: port, token: fmt.Sprintf("%x", random), authorities: x509.NewCertPool(),
		address: "https://" + net.JoinHostPort(loopback, fmt.Sprint(port)), ended: make(chan error, 1),
	}
	s.authorities.AddCert(authority)
	if err := os.WriteFile(s.path("tokens.csv"), []byte(s.token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return nil, "", err
	}
	data := func(name string) string {
		content, _ := os.ReadFile(s.path(name))
		return base64.StdEncoding.EncodeToString(content)
	}
	kubeconfig := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: admin
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: test
  context: {cluster: test, user: admin}
current-context: test
`, s.address, data("ca.crt"), data("admin.crt"), data("admin.key"))
	return s, s.path("kubeconfig"), os.WriteFile(s.path("kubeconfig"), []byte(kubeconfig), 0o600)
}

func (s *server) path(name string) string { return filepath.Join(s.folder, name) }

func (s *server) log() string {
	content, _ := os.ReadFile(s.path("log"))
	return string(content[max(0, len(content)-4000):])
}

// Starts kube-apiserver and waits until it is ready.
func (s *server) start() error {
	log, err := os.Create(s.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	process := exec.Command(self, apiName,
		"--etcd-servers=unix://"+s.path("etcd.sock"),
		"--bind-address="+loopback, fmt.Sprintf("--secure-port=%d", s.port),
		"--advertise-address="+loopback, "--endpoint-reconciler-type=none",
		"--tls-cert-file="+s.path("server.crt"), "--tls-private-key-file="+s.path("server.key"),
		"--client-ca-file="+s.path("ca.crt"), "--token-auth-file="+s.path("tokens.csv"),
		"--service-account-key-file="+s.path("accounts.key"),
		"--service-account-signing-key-file="+s.path("accounts.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range="+services, "--authorization-mode=RBAC",
		"--disable-admission-plugins=ServiceAccount", "--profiling=false", "--cert-dir="+s.folder,
		"--kubelet-preferred-address-types=InternalIP",
	)
	process.Stdout, process.Stderr = log, log
	process.Env = append(os.Environ(), "GOGC=50")
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // The signal comes when this thread ends.
		err := process.Start()
		started <- err
		if err == nil {
			s.ended <- process.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process = process
	return s.wait()
}

func (s *server) wait() error {
	client := &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.authorities}},
	}
	defer client.CloseIdleConnections()
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(limit, http.MethodGet, s.address+"/readyz", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+s.token)
		if response, err := client.Do(request); err == nil {
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.ended:
			return fmt.Errorf("%s ended: %v\n%s", apiName, err, s.log())
		case <-limit.Done():
			return fmt.Errorf("%s is not ready after %s\n%s", apiName, patience, s.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Ends kube-apiserver at once.
func (s *server) kill() {
	if s.process != nil {
		s.process.Process.Kill()
		<-s.ended
		s.process = nil
	}
}

// Makes a key and a certificate that parent signs (nil: itself), and writes NAME.crt and NAME.key.
func certificate(
	folder, name string, template, parent *x509.Certificate, parentKey crypto.Signer,
) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	if parent == nil {
		parent, parentKey = template, key
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	for ending, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: certificate}, ".key": {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(folder, name+ending), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, nil, err
		}
	}
	parsed, err := x509.ParseCertificate(certificate)
	return parsed, key, err
}
