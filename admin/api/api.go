// Package api is the vocabulary of saslguard's control API: what its requests
// and answers hold, as JSON. The server (package admin) and the client (package
// admin/client) share it, and docs/control.md and the OpenAPI document describe it.
//
// Field names are stable: within /v1 they are added, never renamed or removed.
// Times are RFC 3339 with a zone, points are numbers such as 3.5. Nothing here
// does anything, so nothing fails.
package api

import (
	"fmt"
	"net/http"
)

// Prefix begins the path of everything in this version.
const Prefix = "/v1"

// Error is why a request was not carried out. It is the body of every answer
// whose status is 400 or above.
type Error struct {
	Status  int    `json:"status"`          // the HTTP status
	Code    Code   `json:"code"`            // for programs
	Message string `json:"message"`         // for people: what is wrong and what is allowed
	Field   string `json:"field,omitempty"` // where in the request, such as entries[2].prefix
}

// Code says what kind of error it is.
type Code string

// The codes.
const (
	Invalid      Code = "invalid"      // 400: the request is wrong, and nothing was changed
	Unauthorized Code = "unauthorized" // 401: no token, or none that is known
	Forbidden    Code = "forbidden"    // 403: the token's role does not allow it
	NotFound     Code = "not_found"    // 404
	NotAllowed   Code = "not_allowed"  // 405: the method is not for this path
	Unsafe       Code = "unsafe"       // 409: it would hurt, and force was not said
	TooLarge     Code = "too_large"    // 413: the body is longer than allowed
	WrongType    Code = "wrong_type"   // 415: the body is not application/json
	Busy         Code = "busy"         // 503: as many watch as may
	Unavailable  Code = "unavailable"  // 503: a store does not answer
	Internal     Code = "internal"     // 500
)

// Error implements error.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Errorf makes an Error of a status and a code.
func Errorf(status int, code Code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrong is an Error about a field of the request.
func Wrong(field, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}
