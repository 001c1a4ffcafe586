package admin

import (
	"bytes"
	_ "embed"
	"net/http"
	"time"
)

// openAPIDocument describes the API (OpenAPI 3.1). A test holds it to the routes
// and to the fields of what goes in and out.
//
//go:embed openapi.yaml
var openAPIDocument []byte

func openAPI(_ *Control, _ *caller, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(openAPIDocument))
}
