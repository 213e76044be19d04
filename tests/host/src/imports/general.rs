//! Host calls for log, clock, properties, buffers, shared data and metrics.

use wasmtime::Linker;

use super::{Guest, answer, give, parts, read, write};
use crate::abi::{LogLevel, Status, buffer};
use crate::calls::Call;
use crate::state::State;
use crate::stream::{LocalResponse, Phase};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_context(linker)?;
    link_properties(linker)?;
    link_shared_data(linker)?;
    link_metrics(linker)
}

fn link_context(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, Log, |guest, level: u32, message: u32, length: u32| {
        let level = LogLevel::from_raw(level).ok_or(Status::BAD_ARGUMENT)?;
        let (memory, state) = parts(guest);
        state.log(level, read(memory, message, length)?);
        Ok(())
    } }
    host_call! { linker, GetLogLevel, |guest, return_level: u32| {
        let (memory, state) = parts(guest);
        let level = state.log_level as u32;
        Ok(write(memory, return_level, &level.to_le_bytes())?)
    } }
    host_call! { linker, GetCurrentTime, |guest, return_time: u32| {
        let (memory, state) = parts(guest);
        let now = state.process.clock().realtime();
        Ok(write(memory, return_time, &now.to_le_bytes())?)
    } }
    host_call! { linker, SetTickPeriod, |guest, period: u32| {
        let state = guest.data_mut();
        let root = state.root_id();
        if let Some(root) = state.roots.get_mut(&root) {
            root.tick_period = (period > 0).then_some(period);
        }
        Ok(())
    } }
    host_call! { linker, SetEffectiveContext, |guest, context: u32| {
        let state = guest.data_mut();
        if !state.is_context(context) {
            return Err(Status::BAD_ARGUMENT.into());
        }
        state.effective = context;
        Ok(())
    } }
    host_call! { linker, SendLocalResponse,
        |guest, code: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
        if let Some(stream) = guest.data_mut().stream_mut() {
            stream.local_response = Some(LocalResponse { code });
        }
        Ok(())
    } }
    Ok(())
}

fn link_properties(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, GetProperty,
        |guest, path: u32, path_length: u32, pointer: u32, length: u32| {
        give(guest, pointer, length, |memory, state, out| {
            let path = read(memory, path, path_length)?;
            property(state, path, out).ok_or(Status::NOT_FOUND)
        })
    } }
    host_call! { linker, SetProperty,
        |guest, path: u32, path_length: u32, value: u32, length: u32| {
        let (memory, state) = parts(guest);
        let path = read(memory, path, path_length)?;
        let value = read(memory, value, length)?;
        let stream = state.stream_mut().ok_or(Status::NOT_FOUND)?;
        stream.properties.insert(path.to_vec(), value.to_vec());
        Ok(())
    } }
    // What is declared: the type and the span of a property, which has one span here.
    host_call! { linker, CallForeignFunction,
        |guest, name: u32, length: u32, _: u32, _: u32, pointer: u32, size: u32| {
        give(guest, pointer, size, |memory, _, _| {
            let known = read(memory, name, length)? == b"declare_property";
            known.then_some(()).ok_or(Status::NOT_FOUND)
        })
    } }
    host_call! { linker, GetBufferBytes,
        |guest, kind: u32, start: u32, max: u32, pointer: u32, length: u32| {
        let bytes = contents(guest.data(), kind)?.len();
        let start = (start as usize).min(bytes);
        let end = start.saturating_add(max as usize).min(bytes);
        if start == end {
            // Envoy does not write the return values then.
            return Ok(());
        }
        give(guest, pointer, length, |_, state, out| {
            out.extend_from_slice(&contents(state, kind)?[start..end]);
            Ok(())
        })
    } }
    Ok(())
}

fn property(state: &State, path: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if let Some(stream) = state.stream()
        && stream.lookup(path, out).is_some()
    {
        return Some(());
    }
    let text = match path {
        b"plugin_name" => &state.root()?.plugin_name,
        b"plugin_root_id" => &state.root()?.root_id,
        // The default `vm_id` of Envoy.
        b"plugin_vm_id" => "",
        _ => return None,
    };
    out.extend_from_slice(text.as_bytes());
    Some(())
}

fn contents(state: &State, kind: u32) -> Result<&[u8], Status> {
    let body = |phase| {
        let stream = state.stream().filter(|stream| stream.phase == phase);
        stream.map(|stream| stream.body.as_slice())
    };
    match kind {
        buffer::REQUEST_BODY => body(Phase::RequestBody),
        buffer::RESPONSE_BODY => body(Phase::ResponseBody),
        buffer::VM_CONFIGURATION => Some(state.vm_configuration.as_slice()),
        buffer::PLUGIN_CONFIGURATION => state.plugin_configuration.as_deref(),
        _ if kind > buffer::MAX => return Err(Status::BAD_ARGUMENT),
        _ => None,
    }
    .ok_or(Status::NOT_FOUND)
}

fn link_shared_data(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, GetSharedData,
        |guest, key: u32, key_length: u32, pointer: u32, length: u32, return_cas: u32| {
        let mut found = 0;
        give(guest, pointer, length, |memory, state, out| {
            let shared = state.process.shared();
            let key = read(memory, key, key_length)?;
            let (value, cas) = shared.get(key).ok_or(Status::NOT_FOUND)?;
            out.extend_from_slice(value);
            found = *cas;
            Ok(())
        })?;
        let (memory, _) = parts(guest);
        Ok(write(memory, return_cas, &found.to_le_bytes())?)
    } }
    host_call! { linker, SetSharedData,
        |guest, key: u32, key_length: u32, value: u32, length: u32, cas: u32| {
        let (memory, state) = parts(guest);
        let key = read(memory, key, key_length)?;
        let value = read(memory, value, length)?;
        match state.process.shared().set(key, value, cas) {
            Status::OK => Ok(()),
            status => Err(status.into()),
        }
    } }
    Ok(())
}

fn link_metrics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, DefineMetric, |guest, kind: u32, name: u32, length: u32, return_id: u32| {
        let (memory, state) = parts(guest);
        let name = String::from_utf8_lossy(read(memory, name, length)?);
        let mut stats = state.process.stats();
        let id = state.metrics.define(kind, &name, &mut stats)?;
        Ok(write(memory, return_id, &id.to_le_bytes())?)
    } }
    host_call! { linker, IncrementMetric, |guest, id: u32, offset: i64| {
        match guest.data().metrics.increment(id, offset) {
            Status::OK => Ok(()),
            status => Err(status.into()),
        }
    } }
    host_call! { linker, RecordMetric, |guest, id: u32, value: u64| {
        match guest.data().metrics.record(id, value) {
            Status::OK => Ok(()),
            status => Err(status.into()),
        }
    } }
    host_call! { linker, GetMetric, |guest, id: u32, return_value: u32| {
        let (memory, state) = parts(guest);
        let value = state.metrics.get(id)?;
        Ok(write(memory, return_value, &value.to_le_bytes())?)
    } }
    Ok(())
}
