package hotpath

import "testing"

// BenchmarkHotPath is for benchstat:
//
//	go test -run '^$' -bench . -count 10 ./test/bench/hotpath > new.txt
//	benchstat old.txt new.txt
func BenchmarkHotPath(b *testing.B) {
	for _, c := range Cases() {
		b.Run(c.Name, func(b *testing.B) {
			p, err := c.Open()
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := p.Close(); err != nil {
					b.Error(err)
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Do(); err != nil {
					b.Fatal(err)
				}
			}
			if p.Settle != nil {
				if err := p.Settle(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
