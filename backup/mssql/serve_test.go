package mssql

import (
	"bufio"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/require"
)

// The simulated server also speaks the protocol of the real one, as far as the driver
// needs that here: MS-TDS, the sections 2.2.1 to 2.2.7. So the tests of the program have a
// server in a process of its own, and the driver is in the tests.

// TestMain serves instead of testing if ASPUPDATE_SIMULATED names a directory: the
// exchange directory. It prints its address and a second one, which takes a
// command a line: add NAME, drop NAME, update NAME to VERSION, state NAME, list, violations, version VERSION.
func TestMain(m *testing.M) {
	dir := os.Getenv("ASPUPDATE_SIMULATED")
	if dir == "" {
		os.Exit(m.Run())
	}
	s := newSim()
	s.newTarget(dir, "x")
	tds, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go accept(control, s.control)
	fmt.Println(tds.Addr(), control.Addr())
	go func() { // it ends with who has started it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	accept(tds, s.serve)
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

// control carries out what tests ask for.
func (s *sim) control(c net.Conn) {
	defer func() { _ = c.Close() }()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		word, name, _ := strings.Cut(lines.Text(), " ")
		name, to, _ := strings.Cut(name, " to ")
		s.mu.Lock()
		d, answer := s.dbs[name], "ok"
		switch {
		case word == "add":
			s.add(name)
		case word == "version":
			s.server.version = name
		case word == "violations":
			answer = strings.Join(s.violations, ", ")
		case word == "list":
			var names []string
			for n := range s.dbs {
				if !slices.Contains(system, n) {
					names = append(names, n)
				}
			}
			slices.Sort(names)
			answer = strings.Join(names, ",")
		case d == nil:
			answer = "missing"
		case word == "update": // as installers do: not twice
			if change := "ALTER to " + to; !slices.Contains(d.Code, change) {
				d.Tables["dbo.updated"] = append(d.Tables["dbo.updated"], to)
				d.Code = append(d.Code, change)
			}
		case word == "drop":
			delete(s.dbs, name)
		case word == "state":
			answer = d.Access + " " + strings.Join(d.Tables["dbo.updated"], ",")
		}
		s.mu.Unlock()
		if _, err := fmt.Fprintln(c, answer); err != nil {
			return
		}
	}
}

// Packets: 2.2.3.1.
const (
	packetBatch, packetRPC, packetAnswer, packetAttention, packetLogin, packetPrelogin = 1, 3, 4, 6, 16, 18
)

func readPacket(r io.Reader) (kind byte, data []byte, err error) {
	for {
		var h [8]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return 0, nil, err
		}
		part := make([]byte, int(binary.BigEndian.Uint16(h[2:]))-len(h))
		if _, err := io.ReadFull(r, part); err != nil {
			return 0, nil, err
		}
		data = append(data, part...)
		if h[1]&1 != 0 {
			return h[0], data, nil
		}
	}
}

func writePacket(w io.Writer, data []byte) error {
	for n := byte(1); ; n++ {
		part := data[:min(len(data), 4088)]
		data = data[len(part):]
		h := []byte{packetAnswer, 0, 0, 0, 0, 0, n, 0}
		if len(data) == 0 {
			h[1] = 1
		}
		binary.BigEndian.PutUint16(h[2:], uint16(len(part)+8))
		if _, err := w.Write(append(h, part...)); err != nil || len(data) == 0 {
			return err
		}
	}
}

func ucs2(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUCS2(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

func short(s string) []byte { return append([]byte{byte(len(utf16.Encode([]rune(s))))}, ucs2(s)...) }

// done is the token of the same name, 2.2.7.6.
func done(status uint16) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{0xFD}, status), make([]byte, 10)...)
}

// serve answers one connection.
func (s *sim) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var c *simConn
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for {
		kind, data, err := readPacket(conn)
		if err != nil {
			return
		}
		var out []byte
		switch kind {
		case packetPrelogin: // 2.2.6.5: version, and no encryption
			out = []byte{0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 16, 0, 0, 0, 0, 0, 2}
		case packetLogin: // 2.2.6.4: the name of the database is at the ninth of the offsets
			at, n := int(binary.LittleEndian.Uint16(data[68:])), int(binary.LittleEndian.Uint16(data[70:]))
			made, err := simConnector{s, msdsn.Config{Database: fromUCS2(data[at : at+2*n])}}.Connect(context.Background())
			if err != nil {
				out = append(failure(err), done(2)...)
				break
			}
			c = made.(*simConn)
			ack := append([]byte{1, 0x74, 0, 0, 4}, append(short("SIM"), 16, 0, 0, 0)...)
			out = append(binary.LittleEndian.AppendUint16([]byte{0xAD}, uint16(len(ack))), ack...)
			out = append(out, done(0)...)
		case packetBatch, packetRPC:
			data = data[binary.LittleEndian.Uint32(data):] // the headers, 2.2.5.3
			statement, args := fromUCS2(data), []driver.NamedValue(nil)
			if kind == packetRPC {
				statement, args = procedure(data)
			}
			rows, err := c.run(context.Background(), statement, args)
			if errors.Is(err, errLost) || errors.Is(err, driver.ErrBadConn) {
				return
			}
			if err != nil {
				out = append(failure(err), done(2)...)
				break
			}
			out = append(table2(rows), done(0)...)
		case packetAttention:
			out = done(0x20)
		default:
			return
		}
		if writePacket(conn, out) != nil {
			return
		}
	}
}

// failure is the token ERROR, 2.2.7.10.
func failure(err error) (out []byte) {
	e, _ := errors.AsType[mssql.Error](err)
	for _, each := range append(slices.Clone(e.All), e)[max(0, len(e.All)-1):] {
		b := binary.LittleEndian.AppendUint32(nil, uint32(each.Number))
		b = append(b, 1, each.Class)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(utf16.Encode([]rune(each.Message)))))
		b = append(append(b, ucs2(each.Message)...), 0, 0, 1, 0, 0, 0)
		out = append(append(out, 0xAA), binary.LittleEndian.AppendUint16(nil, uint16(len(b)))...)
		out = append(out, b...)
	}
	return out
}

// collation is any.
var collation = []byte{0x09, 0x04, 0xD0, 0x00, 0x34}

// table2 is the tokens COLMETADATA and ROW, 2.2.7.4 and 2.2.7.19: each column is text, as
// which the driver hands over numbers too.
func table2(r *simRows) (out []byte) {
	if len(r.columns) == 0 {
		return nil
	}
	out = binary.LittleEndian.AppendUint16([]byte{0x81}, uint16(len(r.columns)))
	for _, name := range r.columns {
		out = append(append(out, 0, 0, 0, 0, 1, 0, 0xE7, 0xFF, 0xFF), collation...)
		out = append(out, short(name)...)
	}
	for _, row := range r.rows {
		out = append(out, 0xD1)
		for _, v := range row {
			if v == nil {
				out = append(out, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)
				continue
			}
			text := ucs2(fmt.Sprint(v))
			out = binary.LittleEndian.AppendUint64(out, uint64(len(text)))
			if len(text) > 0 {
				out = append(binary.LittleEndian.AppendUint32(out, uint32(len(text))), text...)
			}
			out = append(out, 0, 0, 0, 0)
		}
	}
	return out
}

// procedure takes apart a call of sp_executesql, 2.2.6.6: the statement, the declaration of
// its parameters, and these.
func procedure(data []byte) (statement string, args []driver.NamedValue) {
	data = data[6:] // 0xFFFF, its number, flags
	for n := 0; len(data) > 0; n++ {
		data = data[1+2*int(data[0])+1:] // the name, and flags
		kind := data[0]
		var value any
		switch kind {
		case 0x26: // integer
			size := int(data[2])
			var b [8]byte
			copy(b[:], data[3:3+size])
			value, data = int64(binary.LittleEndian.Uint64(b[:])), data[3+size:]
		case 0xE7:
			long := binary.LittleEndian.Uint16(data[1:]) == 0xFFFF
			data = data[8:]
			if !long {
				size := int(binary.LittleEndian.Uint16(data))
				value, data = fromUCS2(data[2:2+size]), data[2+size:]
				break
			}
			data = data[8:]
			var text []byte
			for {
				size := int(binary.LittleEndian.Uint32(data))
				if data = data[4:]; size == 0 {
					break
				}
				text, data = append(text, data[:size]...), data[size:]
			}
			value = fromUCS2(text)
		default:
			panic(fmt.Sprintf("not modeled: a parameter of type %x", kind))
		}
		switch n {
		case 0:
			statement = value.(string)
		case 1: // declarations
		default:
			args = append(args, driver.NamedValue{Ordinal: n - 1, Value: value})
		}
	}
	return statement, args
}

// The tests for a real server run with the driver on the simulated one as well.
func TestCourseThroughTheDriver(t *testing.T) {
	s := newSim()
	d := s.newTarget(t.TempDir(), "x")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go accept(l, s.serve)
	d.URI, d.connector = "sqlserver://maintenance:x@"+l.Addr().String()+"?database=x&encrypt=disable", nil
	course(t, *d)
	require.Len(t, s.dbs, len(system))
}
