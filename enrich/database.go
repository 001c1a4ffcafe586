package enrich

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// database is a file in MaxMind's format. It is read into memory whole: a file that
// is mapped and then cut short by whoever replaces it would kill the process.
type database struct {
	path   string
	reader atomic.Pointer[maxminddb.Reader]

	mu      sync.Mutex
	seen    fs.FileInfo // of the file that was read last, or tried in vain; nil: none
	missing bool        // it was said that there is no file
}

// maxDatabase bounds a file. MaxMind's largest are about 150 MB.
const maxDatabase = 1 << 30

// refresh reads the file if it is another one than it was, and tells whether it was
// read. A file that is wrong is an error once, until it is replaced.
func (d *database) refresh() (read bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path)
	if err != nil {
		said := d.missing
		d.seen, d.missing = nil, true
		if said {
			return false, nil
		}
		return false, err
	}
	d.missing = false
	if d.seen != nil && os.SameFile(info, d.seen) && info.ModTime().Equal(d.seen.ModTime()) && info.Size() == d.seen.Size() {
		return false, nil
	}
	d.seen = info
	if info.Size() > maxDatabase {
		return false, fmt.Errorf("it has %d octets; allowed is 1 GiB", info.Size())
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("it is no file")
	}
	text, err := os.ReadFile(d.path)
	if err != nil {
		return false, err
	}
	r, err := maxminddb.OpenBytes(text)
	if err != nil {
		return false, fmt.Errorf("it is no database in MaxMind's format, or not all of one: %w", err)
	}
	d.reader.Store(r)
	return true, nil
}

// about says what the database is, and when it was made.
func (d *database) about() (kind string, built time.Time) {
	m := d.reader.Load().Metadata
	return clean(m.DatabaseType), m.BuildTime().UTC()
}

// record is what is read of an entry. City, country and ASN databases have other
// fields each, and one struct takes them all.
type record struct {
	Country    place  `maxminddb:"country"`
	Registered place  `maxminddb:"registered_country"`
	City       place  `maxminddb:"city"`
	ASN        uint32 `maxminddb:"autonomous_system_number"`
	Org        string `maxminddb:"autonomous_system_organization"`
}

type place struct {
	Code  string `maxminddb:"iso_code"`
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// lookup adds what the database knows of an address to what is known already.
func (d *database) lookup(a netip.Addr, i *Info) error {
	r := d.reader.Load()
	if r == nil || a.Is6() && r.Metadata.IPVersion == 4 {
		return nil
	}
	var x record
	if err := r.Lookup(a).Decode(&x); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	for _, f := range []struct {
		to    *string
		value string
	}{
		{&i.Country, country(x.Country.Code)}, {&i.Country, country(x.Registered.Code)},
		{&i.City, clean(x.City.Names.English)}, {&i.Organisation, clean(x.Org)},
	} {
		if *f.to == "" {
			*f.to = f.value
		}
	}
	if i.ASN == 0 {
		i.ASN = x.ASN
	}
	return nil
}
