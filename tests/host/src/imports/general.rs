//! Host calls for log, clock, properties, buffers, shared data and metrics.

use wasmtime::Linker;

use super::{Guest, answer, give, parts, read, write};
use crate::abi::{LogLevel, Status, buffer};
use crate::calls::Call;
use crate::state::State;
use crate::stream::{LocalResponse, Phase};

pub(super) const CALLS: &[Call] = &[
    Call::Log,
    Call::GetLogLevel,
    Call::GetCurrentTime,
    Call::SetTickPeriod,
    Call::SetEffectiveContext,
    Call::GetProperty,
    Call::SetProperty,
    Call::GetBufferBytes,
    Call::GetSharedData,
    Call::SetSharedData,
    Call::DefineMetric,
    Call::IncrementMetric,
    Call::RecordMetric,
    Call::GetMetric,
    Call::SendLocalResponse,
];

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_context(linker)?;
    link_properties(linker)?;
    link_shared_data(linker)?;
    link_metrics(linker)
}

fn link_context(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        Call::Log.name(),
        |mut guest: Guest<'_>, level: u32, message: u32, length: u32| {
            answer(&mut guest, Call::Log, |guest| {
                let level = LogLevel::from_raw(level).ok_or(Status::BAD_ARGUMENT)?;
                let (memory, state) = parts(guest);
                state.log(level, read(memory, message, length)?);
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::GetLogLevel.name(),
        |mut guest: Guest<'_>, return_level: u32| {
            answer(&mut guest, Call::GetLogLevel, |guest| {
                let (memory, state) = parts(guest);
                let level = state.log_level as u32;
                Ok(write(memory, return_level, &level.to_le_bytes())?)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::GetCurrentTime.name(),
        |mut guest: Guest<'_>, return_time: u32| {
            answer(&mut guest, Call::GetCurrentTime, |guest| {
                let (memory, state) = parts(guest);
                let now = state.process.clock().realtime();
                Ok(write(memory, return_time, &now.to_le_bytes())?)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::SetTickPeriod.name(),
        |mut guest: Guest<'_>, period: u32| {
            answer(&mut guest, Call::SetTickPeriod, |guest| {
                let state = guest.data_mut();
                let root = state.root_id();
                if let Some(root) = state.roots.get_mut(&root) {
                    root.tick_period = (period > 0).then_some(period);
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::SetEffectiveContext.name(),
        |mut guest: Guest<'_>, context: u32| {
            answer(&mut guest, Call::SetEffectiveContext, |guest| {
                let state = guest.data_mut();
                if !state.is_context(context) {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                state.effective = context;
                Ok(())
            })
        },
    )?;
    #[rustfmt::skip]
    linker.func_wrap(
        "env",
        Call::SendLocalResponse.name(),
        |mut guest: Guest<'_>, code: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| {
            answer(&mut guest, Call::SendLocalResponse, |guest| {
                if let Some(stream) = guest.data_mut().stream_mut() {
                    stream.local_response = Some(LocalResponse { code });
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn link_properties(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        Call::GetProperty.name(),
        |mut guest: Guest<'_>, path: u32, path_length: u32, pointer: u32, length: u32| {
            answer(&mut guest, Call::GetProperty, |guest| {
                give(guest, pointer, length, |memory, state, out| {
                    let path = read(memory, path, path_length)?;
                    property(state, path, out).ok_or(Status::NOT_FOUND)
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::SetProperty.name(),
        |mut guest: Guest<'_>, path: u32, path_length: u32, value: u32, length: u32| {
            answer(&mut guest, Call::SetProperty, |guest| {
                let (memory, state) = parts(guest);
                let path = read(memory, path, path_length)?;
                let value = read(memory, value, length)?;
                let stream = state.stream_mut().ok_or(Status::NOT_FOUND)?;
                stream.properties.insert(path.to_vec(), value.to_vec());
                Ok(())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::GetBufferBytes.name(),
        |mut guest: Guest<'_>, kind: u32, start: u32, max: u32, pointer: u32, length: u32| {
            answer(&mut guest, Call::GetBufferBytes, |guest| {
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
            })
        },
    )?;
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
    #[rustfmt::skip]
    linker.func_wrap(
        "env",
        Call::GetSharedData.name(),
        |mut guest: Guest<'_>, key: u32, key_length: u32, pointer: u32, length: u32, return_cas: u32| {
            answer(&mut guest, Call::GetSharedData, |guest| {
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
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::SetSharedData.name(),
        |mut guest: Guest<'_>, key: u32, key_length: u32, value: u32, length: u32, cas: u32| {
            answer(&mut guest, Call::SetSharedData, |guest| {
                let (memory, state) = parts(guest);
                let key = read(memory, key, key_length)?;
                let value = read(memory, value, length)?;
                match state.process.shared().set(key, value, cas) {
                    Status::OK => Ok(()),
                    status => Err(status.into()),
                }
            })
        },
    )?;
    Ok(())
}

fn link_metrics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        Call::DefineMetric.name(),
        |mut guest: Guest<'_>, kind: u32, name: u32, length: u32, return_id: u32| {
            answer(&mut guest, Call::DefineMetric, |guest| {
                let (memory, state) = parts(guest);
                let name = String::from_utf8_lossy(read(memory, name, length)?);
                let mut stats = state.process.stats();
                let id = state.metrics.define(kind, &name, &mut stats)?;
                Ok(write(memory, return_id, &id.to_le_bytes())?)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::IncrementMetric.name(),
        |mut guest: Guest<'_>, id: u32, offset: i64| {
            answer(&mut guest, Call::IncrementMetric, |guest| {
                match guest.data().metrics.increment(id, offset) {
                    Status::OK => Ok(()),
                    status => Err(status.into()),
                }
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::RecordMetric.name(),
        |mut guest: Guest<'_>, id: u32, value: u64| {
            answer(&mut guest, Call::RecordMetric, |guest| {
                match guest.data().metrics.record(id, value) {
                    Status::OK => Ok(()),
                    status => Err(status.into()),
                }
            })
        },
    )?;
    linker.func_wrap(
        "env",
        Call::GetMetric.name(),
        |mut guest: Guest<'_>, id: u32, return_value: u32| {
            answer(&mut guest, Call::GetMetric, |guest| {
                let (memory, state) = parts(guest);
                let value = state.metrics.get(id)?;
                Ok(write(memory, return_value, &value.to_le_bytes())?)
            })
        },
    )?;
    Ok(())
}
