// kubelet serves the port-forwards of a simulated node, with the library of the real kubelet. The API server connects
// to it for `kubectl port-forward`. It forwards to the address of the pod, which it asks the API server for.
//
//	kubelet ADDRESS API-SERVER CERTIFICATE KEY
//
// API-SERVER is that of `kubectl proxy`, without credentials.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

func main() {
	address, api, certificate, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	http.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, request *http.Request) {
		options, err := portforward.NewV4Options(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		path := fmt.Sprintf("namespaces/%s/pods/%s", request.PathValue("namespace"), request.PathValue("pod"))
		const idle, start = time.Hour, 30 * time.Second
		portforward.ServePortForward(w, request, pods{api}, path, "", options, idle, start, portforward.SupportedProtocols)
	})
	// Without HTTP/2, which has no upgrades.
	server := http.Server{Addr: address, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	log.Fatal(server.ListenAndServeTLS(certificate, key))
}

// pods are those of an API server.
type pods struct{ api string }

// PortForward connects a stream to a port of the pod at this path.
func (p pods) PortForward(_ context.Context, path string, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	response, err := http.Get(p.api + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var pod struct{ Status struct{ PodIP string } }
	if err := json.NewDecoder(response.Body).Decode(&pod); err != nil {
		return err
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}
