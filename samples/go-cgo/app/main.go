// A web service that uses the C library: to look up hosts and users, and for its version.
package main

/*
#include <gnu/libc-version.h>
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"syscall"
)

func main() {
	http.HandleFunc("/", hello)
	http.HandleFunc("/lookup", lookup)
	http.HandleFunc("/user", whois)
	server := &http.Server{Addr: net.JoinHostPort(setting("HOST", ""), setting("PORT", "8080"))}

	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	done := make(chan error)
	go func() {
		<-stop.Done()
		done <- server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
}

func setting(name, usual string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return usual
}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "hello from Go and glibc", C.GoString(C.gnu_get_libc_version()))
}

// By getaddrinfo, which has the C library load what nsswitch.conf names.
func lookup(w http.ResponseWriter, r *http.Request) {
	found, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("host"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, found)
}

// By getpwnam_r.
func whois(w http.ResponseWriter, r *http.Request) {
	found, err := user.Lookup(r.FormValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, found.Username, found.Uid)
}
