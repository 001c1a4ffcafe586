# saslguard in a container: one static binary, nothing else, not root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /saslguard ./cmd/saslguard \
 && mkdir -p /state && chown 65532:65532 /state

FROM scratch
# For the certificates of Redis, webhooks and mail servers.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /saslguard /saslguard
COPY --from=build --chown=65532:65532 /state /var/lib/saslguard
USER 65532:65532
ENV STATE_DIRECTORY=/var/lib/saslguard
VOLUME /var/lib/saslguard
ENTRYPOINT ["/saslguard"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=3s CMD ["/saslguard", "health"]
