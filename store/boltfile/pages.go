package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its file: a page number beyond the end is a SIGBUS, some of them
// in goroutines of its own where nobody can recover. So the file is read whole,
// by plain reads, before it is mapped. The layout is bbolt's file format
// version 2, in the byte order of the machine:
//
//	page    id u64 · flags u16 · count u16 · overflow u32
//	meta    magic u32 · version u32 · page size u32 · flags u32 · root u64 ·
//	        sequence u64 · freelist u64 · end u64 · transaction u64 · FNV-64a
//	branch  pos u32 · key size u32 · page u64, for each element
//	leaf    flags u32 · pos u32 · key size u32 · value size u32
const (
	pageHeader = 16
	metaBytes  = 64
	pageMagic  = 0xED0CDAED
	pageFormat = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketLeaf = 0x01 // an element's flag: its value is a bucket

	maxDepth = 64 // of pages and buckets inside each other
)

var errPages = errors.New("it is damaged, or no bbolt file")

// pageCheck walks all pages that a file's latest meta page leads to.
type pageCheck struct {
	file     io.ReaderAt
	pageSize int64
	end      uint64 // the first page number beyond the used ones
	seen     []bool // pages that something refers to
}

// checkPages reads the whole file and returns an error that wraps errPages if
// bbolt could stumble over it. An empty file is a new one.
func checkPages(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	meta, err := latestMeta(f, info.Size())
	if err != nil {
		return err
	}
	c := &pageCheck{file: f, pageSize: int64(meta.pageSize), end: meta.end}
	if meta.end < 4 || meta.end > uint64(info.Size())/uint64(meta.pageSize) {
		return fmt.Errorf("%w: it should have %d pages of %d bytes and has %d bytes", errPages, meta.end, meta.pageSize, info.Size())
	}
	c.seen = make([]bool, meta.end)
	c.seen[0], c.seen[1] = true, true
	if err := c.tree(meta.root, span{}, 0); err != nil {
		return err
	}
	return c.freelist(meta.freelist)
}

type metaPage struct {
	pageSize                    uint32
	root, freelist, end, number uint64
}

// latestMeta returns the valid meta page of the later transaction, which bbolt
// uses as well.
func latestMeta(f io.ReaderAt, size int64) (metaPage, error) {
	var best metaPage
	try := func(at int64) {
		m, ok := readMeta(f, at)
		if ok && (at == 0 || at == int64(m.pageSize)) && (best.pageSize == 0 || m.number > best.number) {
			best = m
		}
	}
	try(0)
	for at := int64(1024); at <= 64<<10 && at < size; at *= 2 {
		try(at)
	}
	if best.pageSize == 0 {
		return best, fmt.Errorf("%w: it has no valid header", errPages)
	}
	return best, nil
}

func readMeta(f io.ReaderAt, at int64) (m metaPage, ok bool) {
	var page [pageHeader + metaBytes]byte
	if _, err := f.ReadAt(page[:], at); err != nil {
		return m, false
	}
	b, order := page[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaBytes-8])
	m = metaPage{
		pageSize: order.Uint32(b[8:]), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		end: order.Uint64(b[40:]), number: order.Uint64(b[48:]),
	}
	ok = order.Uint32(b) == pageMagic && order.Uint32(b[4:]) == pageFormat &&
		order.Uint64(b[metaBytes-8:]) == sum.Sum64() && m.pageSize >= 1024 && m.pageSize <= 64<<10
	return m, ok
}

// read reads a page with its overflow, once.
func (c *pageCheck) read(id uint64) ([]byte, error) {
	if id < 2 || id >= c.end {
		return nil, fmt.Errorf("%w: it refers to page %d of %d", errPages, id, c.end)
	}
	var header [pageHeader]byte
	if _, err := c.file.ReadAt(header[:], int64(id)*c.pageSize); err != nil {
		return nil, err
	}
	pages := 1 + uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header[:]) != id || pages > c.end-id {
		return nil, fmt.Errorf("%w: page %d is another one", errPages, id)
	}
	for i := id; i < id+pages; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("%w: page %d is used twice", errPages, i)
		}
		c.seen[i] = true
	}
	page := make([]byte, int64(pages)*c.pageSize)
	_, err := c.file.ReadAt(page, int64(id)*c.pageSize)
	return page, err
}

// span is what the keys of a page are held to: bbolt looks for a page under
// its first key, and may write a page twice that it finds under another.
type span struct {
	first []byte // nil: any, of a bucket's root
	end   []byte // nil: open
}

// tree checks a page and all below it.
func (c *pageCheck) tree(id uint64, keys span, depth int) error {
	page, err := c.read(id)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(page[8:]); {
	case depth > maxDepth:
		return fmt.Errorf("%w: page %d lies too deep", errPages, id)
	case flags == branchPage:
		return c.branch(page, keys, depth)
	case flags == leafPage:
		return c.leaf(page, keys, depth)
	default:
		return fmt.Errorf("%w: page %d is of kind %#x", errPages, id, flags)
	}
}

// elements returns the keys and values of a page. Branches and leaves differ in
// where an element says its place and the sizes of its key and value.
func elements(page []byte, keys span, sizes func(element []byte) (pos, key, value uint32)) (names, values [][]byte, err error) {
	count := int(binary.NativeEndian.Uint16(page[10:]))
	if pageHeader+16*count > len(page) || count == 0 && keys.first != nil {
		return nil, nil, fmt.Errorf("%w: a page of %d elements", errPages, count)
	}
	for i := range count {
		at := pageHeader + 16*i
		pos, keySize, valueSize := sizes(page[at : at+16])
		from := int64(at) + int64(pos)
		middle, to := from+int64(keySize), from+int64(keySize)+int64(valueSize)
		if to > int64(len(page)) || keySize == 0 {
			return nil, nil, fmt.Errorf("%w: an element reaches beyond its page", errPages)
		}
		name := page[from:middle]
		if i == 0 && keys.first != nil && !bytes.Equal(name, keys.first) ||
			i > 0 && bytes.Compare(names[i-1], name) >= 0 ||
			keys.end != nil && bytes.Compare(name, keys.end) >= 0 {
			return nil, nil, fmt.Errorf("%w: keys out of order", errPages)
		}
		names, values = append(names, name), append(values, page[middle:to])
	}
	return names, values, nil
}

func (c *pageCheck) branch(page []byte, keys span, depth int) error {
	order := binary.NativeEndian
	names, _, err := elements(page, keys, func(e []byte) (pos, key, value uint32) {
		return order.Uint32(e), order.Uint32(e[4:]), 0
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: an empty branch", errPages)
	}
	for i := 0; i < len(names) && err == nil; i++ {
		below := span{first: names[i], end: keys.end}
		if i+1 < len(names) {
			below.end = names[i+1]
		}
		err = c.tree(order.Uint64(page[pageHeader+16*i+8:]), below, depth+1)
	}
	return err
}

func (c *pageCheck) leaf(page []byte, keys span, depth int) error {
	order := binary.NativeEndian
	_, values, err := elements(page, keys, func(e []byte) (pos, key, value uint32) {
		return order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:])
	})
	for i := 0; i < len(values) && err == nil; i++ {
		switch flags := order.Uint32(page[pageHeader+16*i:]); flags {
		case 0:
		case bucketLeaf:
			err = c.bucket(values[i], depth+1)
		default:
			err = fmt.Errorf("%w: an element of kind %#x", errPages, flags)
		}
	}
	return err
}

// bucket checks a bucket, which has a root page or, if small, lies inline.
func (c *pageCheck) bucket(value []byte, depth int) error {
	if len(value) < 16 || depth > maxDepth {
		return fmt.Errorf("%w: a torn bucket", errPages)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.tree(root, span{}, depth)
	}
	inline := value[16:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return fmt.Errorf("%w: a torn bucket", errPages)
	}
	return c.leaf(inline, span{}, depth)
}

// freelist checks that no page in use is listed as free.
func (c *pageCheck) freelist(id uint64) error {
	page, err := c.read(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	count, at := uint64(order.Uint16(page[10:])), pageHeader
	if count == 0xFFFF { // then the first element is the count
		count, at = order.Uint64(page[at:]), at+8
	}
	if order.Uint16(page[8:]) != freelistPage || count > uint64(len(page)-at)/8 {
		return fmt.Errorf("%w: its list of free pages is torn", errPages)
	}
	for i := range count {
		free := order.Uint64(page[at+8*int(i):])
		if free < 2 || free >= c.end || c.seen[free] {
			return fmt.Errorf("%w: page %d is free and in use", errPages, free)
		}
		c.seen[free] = true
	}
	return nil
}
