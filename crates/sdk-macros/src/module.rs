//! `#[module]`: checks the function's form and adds the exports of carrier `core/1`, and `guest` for native programs.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{ItemFn, ReturnType, Type, parse2, spanned::Spanned as _};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(function) = parse2::<ItemFn>(item.clone()) else {
        let error = syn::Error::new(item.span(), "`#[bivouac::module]` stands on a `fn`").to_compile_error();
        return quote! { #item #error };
    };
    match check(&args, &function) {
        Ok(()) => {
            let exports = exports(&function);
            quote! { #function #exports }
        }
        Err(error) => {
            let error = error.to_compile_error();
            quote! { #function #error }
        }
    }
}

fn check(args: &TokenStream, function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let expected = format!(
        "a module's description looks like `pub fn {}() -> Module` (or `-> AgentDefinition`, `-> Vec<AgentDefinition>`)",
        signature.ident
    );
    let error = |span, message: &str| Err(syn::Error::new(span, format!("{message}: {expected}")));
    if !args.is_empty() {
        return error(args.span(), "`#[bivouac::module]` takes no arguments");
    }
    if let Some(token) = &signature.asyncness {
        return error(token.span, "the function is `async`, but it only describes and waits for nothing");
    }
    if let Some(token) = &signature.unsafety {
        return error(token.span, "the function is `unsafe`");
    }
    if let Some(parameter) = signature.generics.params.first() {
        return error(parameter.span(), "the function is generic");
    }
    if !signature.inputs.is_empty() {
        return error(signature.inputs.span(), "the function takes arguments");
    }
    if matches!(signature.output, ReturnType::Default) {
        return error(signature.paren_token.span.close(), "the function does not return a `Module`");
    }
    if let ReturnType::Type(_, output) = &signature.output
        && let Type::ImplTrait(_) = &**output
    {
        return error(output.span(), "the function returns an `impl Trait`");
    }
    Ok(())
}

fn exports(function: &ItemFn) -> TokenStream {
    let configure = &function.sig.ident;
    let visibility = &function.vis;
    let module = quote_spanned! { function.sig.output.span() => ::bivouac::__private::module(#configure()) };
    quote! {
        /// The module as a guest that a host in the same program drives.
        #[cfg(not(target_arch = "wasm32"))]
        #[must_use]
        #visibility fn guest() -> ::bivouac::ModuleGuest {
            #module.into_guest()
        }

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the exports of a module pass buffers by address")]
        const _: () = {
            fn module() -> ::bivouac::Module {
                #module
            }

            unsafe extern "C" {
                fn __wasm_call_ctors();
            }

            /// Its presence keeps the linker from wrapping every export as a command.
            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                // SAFETY: the linker makes this function; the host calls `_initialize` once on a fresh instance.
                unsafe { __wasm_call_ctors() }
            }

            #[unsafe(no_mangle)]
            extern "C" fn bivouac_abi() -> u32 {
                ::bivouac::abi::ABI_VERSION
            }

            #[unsafe(no_mangle)]
            extern "C" fn bivouac_alloc(len: usize) -> *mut u8 {
                ::bivouac::abi::alloc(len)
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn bivouac_free(buffer: *mut u8, len: usize) {
                // SAFETY: the host gives back what `bivouac_alloc` gave it.
                unsafe { ::bivouac::abi::free(buffer, len) }
            }

            #[unsafe(no_mangle)]
            extern "C" fn bivouac_configure() -> u64 {
                ::bivouac::abi::configure(module)
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn bivouac_drive(buffer: *mut u8, len: usize) -> u64 {
                // SAFETY: the host gives away what `bivouac_alloc` gave it.
                unsafe { ::bivouac::abi::drive(buffer, len, module) }
            }
        };
    }
}
