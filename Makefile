# What is built for others: make release. For yourself, go build ./cmd/saslguard does.
# The same source gives the same files to the last bit, wherever and whenever it is
# built by the same version of Go: make reproducible.

VERSION ?= $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' 2>/dev/null || echo 0.1.0-dev))
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
# The time of the commit, and without a repository that of the change log.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
GOARCH  ?= $(shell go env GOARCH)
OUT     ?= dist

# Tools have a go.mod of their own, so that the program's names what is in it.
TOOL := go tool -modfile=packaging/tools/go.mod
export VERSION COMMIT SOURCE_DATE_EPOCH

.PHONY: help build packages lintian release reproducible licences check vulnerabilities clean

help:
	@echo 'make build            the program, static, with its version: $(OUT)/saslguard'
	@echo 'make packages         the program as deb and rpm'
	@echo 'make lintian          the deb, judged by lintian'
	@echo 'make release          packages, archive, licences, SBOM and SHA256SUMS'
	@echo 'make reproducible     packages, built twice in different directories and compared'
	@echo 'make licences         write packaging/licences.txt anew'
	@echo 'make check            gofmt, go vet, staticcheck'
	@echo 'make vulnerabilities  govulncheck, which asks vuln.go.dev'
	@echo 'make clean            remove $(OUT)'
	@echo
	@echo 'VERSION=$(VERSION) GOARCH=$(GOARCH) OUT=$(OUT)'

build:
	GOARCH=$(GOARCH) packaging/build program $(OUT)

packages:
	GOARCH=$(GOARCH) packaging/build packages $(OUT)

# Nothing but what packaging/deb/lintian-overrides names.
lintian: packages
	lintian --fail-on error,warning $(OUT)/*.deb

release:
	GOARCH=$(GOARCH) packaging/build all $(OUT)
	$(TOOL) cyclonedx-gomod bin -json -noserial -notimestamp -licenses=false -version v$(VERSION) -output $(OUT)/saslguard-$(VERSION).cdx.json $(OUT)/saslguard
	cd $(OUT) && sha256sum *.deb *.rpm *.tar.gz *.cdx.json THIRD-PARTY.txt >SHA256SUMS && cat SHA256SUMS

reproducible:
	packaging/reproducible

licences:
	go run ./packaging/notices >packaging/licences.txt.new && mv packaging/licences.txt.new packaging/licences.txt

check:
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "gofmt would change: $$files"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...

# It asks https://vuln.go.dev for what is known, or a copy: GOVULNDB=file:///… or https://….
# Where that cannot be reached nothing is known, and it fails.
GOVULNDB ?= https://vuln.go.dev
vulnerabilities:
	@code=0; $(TOOL) govulncheck -db '$(GOVULNDB)' ./... || code=$$?; \
	case $$code in \
	0) ;; \
	3) echo 'Vulnerabilities that the program reaches are listed above.'; exit 3;; \
	*) echo 'NOT CHECKED: govulncheck has failed (exit code '$$code'). It needs $(GOVULNDB), or a copy of it in GOVULNDB.'; exit $$code;; \
	esac

clean:
	rm -rf $(OUT)
