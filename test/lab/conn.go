package lab

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// ioTimeout is the deadline of each read and write of a client. The longest
// answer a server may hold back is Postfix's wait for Dovecot, 10 s, after a
// policy server's sleep.
const ioTimeout = 30 * time.Second

// lineConn is a connection of a line protocol.
type lineConn struct {
	conn net.Conn
	r    *bufio.Reader
}

// dialLines connects and sends the header, a PROXY header or nothing.
func dialLines(server netip.AddrPort, header []byte) (*lineConn, error) {
	conn, err := net.DialTimeout("tcp", server.String(), ioTimeout)
	if err != nil {
		return nil, err
	}
	c := overLines(conn)
	if len(header) > 0 {
		conn.SetWriteDeadline(time.Now().Add(ioTimeout))
		if _, err := conn.Write(header); err != nil {
			conn.Close()
			return nil, fmt.Errorf("sending the PROXY header: %w", err)
		}
	}
	return c, nil
}

func overLines(conn net.Conn) *lineConn { return &lineConn{conn: conn, r: bufio.NewReader(conn)} }

// readLine returns a line without its end.
func (c *lineConn) readLine() (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(ioTimeout))
	line, err := c.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (c *lineConn) writeLine(line string) error {
	c.conn.SetWriteDeadline(time.Now().Add(ioTimeout))
	_, err := c.conn.Write([]byte(line + "\r\n"))
	return err
}

func (c *lineConn) close() error { return c.conn.Close() }
