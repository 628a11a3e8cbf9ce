# The image of all programs: `turnpike` (standalone, check, explain), `turnpike-controller` and
# `turnpike-dataplane`. Without Docker, `cargo xtask image` makes the same layout.
#
#   docker build -t turnpike:0.1.0 .
#   docker run -p 8080:8080 -v "$PWD/examples/quickstart:/config:ro" turnpike:0.1.0 \
#     serve -f /config --listen 0.0.0.0:8080

ARG BUILDER=rust:1.95-bookworm
# Holds libc, libgcc, CA certificates and the user; no shell. Its Debian is the builder's.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/source/target --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --locked --profile dist --bins \
      --package turnpike-cli --package turnpike-controller --package turnpike-dataplane \
 && mkdir /programs \
 && for program in turnpike turnpike-controller turnpike-dataplane; do \
      strip -o "/programs/$program" "target/dist/$program" || exit 1; \
    done

FROM ${BASE}
COPY --from=build /programs/ /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/turnpike"]
