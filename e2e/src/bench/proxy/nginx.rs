//! nginx as a plain reverse proxy in one process: kept connections to the model server, nothing held
//! back, no log.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{Process, Program};

pub(in crate::bench) fn start(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<Process> {
    let home = folder.join("nginx");
    std::fs::create_dir_all(&home).context("making nginx's folder")?;
    let file = home.join("nginx.conf");
    std::fs::write(&file, config(&home.display().to_string(), listen, upstream))
        .context("writing nginx.conf")?;
    let arguments = ["-c", &file.display().to_string()].map(str::to_owned);
    Process::spawn(folder, Program::new("nginx", "/usr/sbin/nginx", arguments))
}

fn config(home: &str, listen: SocketAddr, upstream: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {home}/{kind};\n"))
        .collect();
    format!(
        "daemon off;
master_process off;
worker_rlimit_nofile 65536;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 32768; }}
http {{
  access_log off;
{temporary}  keepalive_requests 1000000000;
  client_max_body_size 0;
  map $http_upgrade $for_upgrade {{ default upgrade; '' ''; }}
  upstream model {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen {listen} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection $for_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"
    )
}
