package doctor

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// kernelFacts are whether the kernel has nf_tables.
type kernelFacts struct {
	err error // unix.EPERM: it cannot be seen without root
}

// lookAtKernel asks nf_tables for its generation, which changes nothing.
func lookAtKernel() kernelFacts { return kernelFacts{askNftables()} }

const kernelTimeout = 2 * time.Second

func askNftables() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(kernelTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	// struct nlmsghdr, netlink(7), and struct nfgenmsg of linux/netfilter/nfnetlink.h.
	message := make([]byte, unix.SizeofNlMsghdr+4)
	binary.NativeEndian.PutUint32(message[0:], uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	return netlinkError(answer[:n])
}

// netlinkError is the error that a message of netlink is, or nil.
func netlinkError(message []byte) error {
	if len(message) < unix.SizeofNlMsghdr+4 {
		return errors.New("the kernel's answer is too short")
	}
	if binary.NativeEndian.Uint16(message[4:]) != unix.NLMSG_ERROR {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(message[unix.SizeofNlMsghdr:])); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

func checkKernel(r *Report, h *host) {
	switch err := h.kernel.err; {
	case err == nil:
		r.ok("kernel", "", "the kernel has nf_tables")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		r.info("kernel", "", "Run saslguard doctor as root.", "whether the kernel has nf_tables is not to be seen without root")
	default:
		r.wrong("kernel", "", "modprobe nf_tables, or a kernel that has it (CONFIG_NF_TABLES_INET)", "the kernel has no nf_tables: %v", err)
	}
}
