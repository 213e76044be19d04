//! `divvy top --selector`: kubectl is started, and its port-forwards are used. The program is a stand-in for kubectl
//! that prints what kubectl prints; `make test-fleet-pods` has the real one.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::{env, fs, thread};

#[test]
fn top_reads_the_pods_of_a_selector_and_names_one_that_cannot_be_reached() {
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = metrics.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = metrics.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let body = "divvy_config_hash{divvy_plugin=\"d\"} 7\n";
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close");
        write!(stream, "{head}\r\n\r\n{body}").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let kubectl = folder.path().join("kubectl");
    let script = format!(
        "#!/bin/sh\n\
         echo \"$@\" >>{folder}/calls\n\
         case \"$*\" in\n\
         get*) echo pod/gw-1; echo pod/gw-2 ;;\n\
         *gw-1*) echo $$ >{folder}/pid; echo 'Forwarding from 127.0.0.1:{port} -> 15090'; exec sleep 60 ;;\n\
         *) echo 'error: the pod is gone' >&2; exit 1 ;;\n\
         esac\n",
        folder = folder.path().display(),
    );
    fs::write(&kubectl, script).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let arguments = [
        "top",
        "--once",
        "--selector",
        "app=gw",
        "--namespace",
        "istio-system",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_divvy"))
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}{error}");
    assert!(
        shown.contains("configuration 00000007  pod/gw-1\n"),
        "{shown}"
    );
    let finding = "pod/gw-2 does not answer: kubectl port-forward: error: the pod is gone\n";
    assert!(shown.contains(finding), "{shown}");
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    let get = "get --namespace istio-system pods --request-timeout=10s --output=name --selector app=gw \
               --field-selector=status.phase=Running\n";
    assert!(calls.starts_with(get), "{calls}");
    let forward = "port-forward --namespace istio-system --address=127.0.0.1 pod/gw-1 :15090\n";
    assert!(calls.contains(forward), "{calls}");
    // kubectl ends with top.
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let process = format!("/proc/{}", pid.trim());
    assert!(!fs::exists(process).unwrap());
}
