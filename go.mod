module github.com/saslguard/saslguard

go 1.26.0

require github.com/dchest/siphash v1.2.3
