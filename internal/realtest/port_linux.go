package realtest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// claims keeps what claim has opened.
var claims struct {
	sync.Mutex
	open []net.Listener
}

// claim fails if a running test process, this one too, has claimed the port. An abstract name
// belongs to no directory and goes with its process, however that ends.
func claim(port int) error {
	l, err := net.Listen("unix", "@aspupdate-test-port-"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	claims.Lock()
	defer claims.Unlock()
	claims.open = append(claims.open, l)
	return nil
}

// The ports of data connections, for a server that does not leave the choice to the
// system: each gets some above those that the systems take.
const (
	firstData = 61000
	dataPorts = 20
)

// freeData returns the first of dataPorts ports that are this process's as that of
// FreePort is.
func freeData() (first int, err error) {
	for range 1000 {
		first = firstData + dataPorts*rand.IntN((65536-firstData)/dataPorts)
		if err = claim(first); err == nil {
			return first, nil
		}
	}
	return 0, err
}
