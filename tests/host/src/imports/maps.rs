//! Host calls on header maps.

use wasmtime::Linker;

use super::{Guest, Refusal, answer, give, parts, read};
use crate::abi::{Status, map};
use crate::calls::Call;
use crate::headers::Headers;
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call! { linker, GetHeaderMapPairs,
        |guest, map: u32, return_pointer: u32, return_length: u32| {
        give(guest, return_pointer, return_length, |_, state, out| {
            known(map)?;
            // Unlike in the other getters, a missing map is not an error but empty.
            let headers = state.stream().and_then(|stream| stream.readable(map));
            if let Some(headers) = headers
                && !headers.is_empty()
            {
                headers.serialize_into(out);
            }
            Ok(())
        })
    } }
    host_call! { linker, GetHeaderMapValue,
        |guest, map: u32, key: u32, key_length: u32, pointer: u32, length: u32| {
        give(guest, pointer, length, |memory, state, out| {
            known(map)?;
            let key = read(memory, key, key_length)?;
            let headers = state.stream().and_then(|stream| stream.readable(map));
            let headers = headers.ok_or(Status::BAD_ARGUMENT)?;
            out.extend_from_slice(headers.get(key).ok_or(Status::NOT_FOUND)?);
            Ok(())
        })
    } }
    host_call! { linker, SetHeaderMapPairs, |guest, map: u32, pointer: u32, length: u32| {
        change(guest, map, |memory, headers| {
            // Invalid bytes are an empty map, as in Envoy.
            let bytes = read(memory, pointer, length)?;
            *headers = Headers::deserialize(bytes).unwrap_or_default();
            Ok(())
        })
    } }
    host_call! { linker, AddHeaderMapValue,
        |guest, map: u32, key: u32, key_length: u32, value: u32, length: u32| {
        change(guest, map, |memory, headers| {
            headers.add(read(memory, key, key_length)?, read(memory, value, length)?);
            Ok(())
        })
    } }
    host_call! { linker, ReplaceHeaderMapValue,
        |guest, map: u32, key: u32, key_length: u32, value: u32, length: u32| {
        change(guest, map, |memory, headers| {
            headers.replace(read(memory, key, key_length)?, read(memory, value, length)?);
            Ok(())
        })
    } }
    host_call! { linker, RemoveHeaderMapValue, |guest, map: u32, key: u32, key_length: u32| {
        change(guest, map, |memory, headers| {
            headers.remove(read(memory, key, key_length)?);
            Ok(())
        })
    } }
    Ok(())
}

fn known(map: u32) -> Result<(), Status> {
    if map > map::MAX {
        return Err(Status::BAD_ARGUMENT);
    }
    Ok(())
}

fn change(
    guest: &mut Guest<'_>,
    map: u32,
    edit: impl FnOnce(&[u8], &mut Headers) -> Result<(), Status>,
) -> Result<(), Refusal> {
    let (memory, state) = parts(guest);
    let headers = state.stream_mut().and_then(|stream| stream.writable(map));
    edit(memory, headers.ok_or(Status::BAD_ARGUMENT)?)?;
    Ok(())
}
