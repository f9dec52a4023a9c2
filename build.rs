//! Generates what the crate includes: the wire messages from the `.proto`, and the dashboard's files.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    generate_messages()?;
    embed_dashboard()
}

/// Compiles the wire contract and Sparkplug's payload in pure Rust (no protoc needed) into
/// `OUT_DIR`, a file named after each package.
fn generate_messages() -> Result<()> {
    const CONTRACTS: [&str; 3] = [
        "proto/tidegate/v1/ingest.proto",
        "proto/tidegate/v1/live.proto",
        "proto/sparkplug_b.proto",
    ];
    for contract in CONTRACTS {
        println!("cargo::rerun-if-changed={contract}");
    }
    let descriptors = protox::compile(CONTRACTS, ["proto"])?;
    // Ordered maps, so that equal messages have equal bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}

/// Builds the dashboard with npm when its sources changed, and writes the table of its files
/// (`OUT_DIR/assets.rs`), each plain and gzipped.
fn embed_dashboard() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut table = String::from("static ASSETS: &[Asset] = &[\n");
    if env::var_os("CARGO_FEATURE_DASHBOARD").is_some() {
        for source in [
            "src",
            "index.html",
            "public",
            "package.json",
            "package-lock.json",
            "vite.config.ts",
            "tsconfig.json",
        ] {
            let path = Path::new("dashboard").join(source);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        let dist = build_dashboard(&out)?;
        let mut files = Vec::new();
        list(&dist, &mut files)?;
        files.sort();
        for (number, file) in files.iter().enumerate() {
            embed(&mut table, &out, &dist, file, number)?;
        }
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Runs npm in a copy of the sources, because a build script may write to `OUT_DIR` only.
fn build_dashboard(out: &Path) -> Result<PathBuf> {
    let copy = out.join("dashboard");
    let dist = copy.join("dist");
    copy_sources(Path::new("dashboard"), &copy)?;
    npm(&copy, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    npm(&copy, &["run", "build"])?;
    Ok(dist)
}

fn npm(directory: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("npm").args(arguments).current_dir(directory).output().map_err(|error| {
        format!(
            "the dashboard is built with npm, which could not be started ({error}); install Node.js 20 or \
             newer with npm, or build without the dashboard: cargo build --no-default-features"
        )
    })?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(format!(
            "npm {} failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&text)
        )
        .into());
    }
    Ok(())
}

fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    // A file that was removed from the sources must not live on in the copy.
    for stale in ["src", "public", "dist"] {
        let stale = to.join(stale);
        if stale.exists() {
            fs::remove_dir_all(stale)?;
        }
    }
    let mut files = Vec::new();
    list(from, &mut files)?;
    for file in files {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().ok_or("no parent")?)?;
        fs::copy(&file, target)?;
    }
    Ok(())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.ends_with("node_modules") || path == Path::new("dashboard/dist") {
            continue;
        }
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn embed(table: &mut String, out: &Path, dist: &Path, file: &Path, number: usize) -> Result<()> {
    let plain = fs::read(file)?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain)?;
    let zipped = out.join(format!("asset-{number}.gz"));
    fs::write(&zipped, encoder.finish()?)?;
    let path =
        file.strip_prefix(dist)?.to_str().ok_or("a file name is not UTF-8")?.replace('\\', "/");
    let content_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "webmanifest") => "application/json",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    };
    let etag = format!("\"{:08x}-{:x}\"", crc32c::crc32c(&plain), plain.len());
    writeln!(
        table,
        "Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {etag:?}, \
         plain: include_bytes!({file:?}), gzip: include_bytes!({zipped:?}) }},"
    )?;
    Ok(())
}
