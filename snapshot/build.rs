//! Compiles the protocol in `proto/` without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["snapshot.proto", "replicas.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // Few providers have one, and every change of any name would have room for it.
        .boxed("turnpike.snapshot.v1.Upstream.service")
        .boxed("turnpike.snapshot.v1.Upstream.tls")
        .boxed("turnpike.snapshot.v1.Upstream.egress_proxy")
        .boxed("turnpike.snapshot.v1.Upstream.manner")
        .compile_fds(files)?;
    Ok(())
}
