# `nix develop` is a shell that has what `cargo xtask` installs elsewhere; `nix build` makes the server.
#
# There is no flake.lock: Nix writes one when it is first used. Rust, Zig and TigerBeetle are exact without it.
{
  description = "A supervised actor runtime that reserves, limits and accounts LLM calls in one atomic decision";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";
    rust-overlay.url = "github:oxalica/rust-overlay";
    rust-overlay.inputs.nixpkgs.follows = "nixpkgs";
    zig-overlay.url = "github:mitchellh/zig-overlay";
    zig-overlay.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs = { self, nixpkgs, rust-overlay, zig-overlay }:
    let
      forSystem = system:
        let
          pkgs = import nixpkgs { inherit system; overlays = [ rust-overlay.overlays.default ]; };
          rust = pkgs.rust-bin.stable."1.95.0".default;
          zig = zig-overlay.packages.${system}."0.14.1";
          rustPlatform = pkgs.makeRustPlatform { cargo = rust; rustc = rust; };

          # What `.cargo/config.toml` sets where there is no Nix.
          variables = {
            ZIG_PATH = "${zig}/bin/zig";
            LIBCLANG_PATH = "${pkgs.llvmPackages.libclang.lib}/lib";
            CLANG_PATH = "${pkgs.llvmPackages.clang}/bin/clang";
          };

          # The server, from the sources that its client's crate brings, as in `xtask/src/tigerbeetle.rs`.
          tigerbeetle = pkgs.stdenvNoCC.mkDerivation {
            pname = "tigerbeetle";
            version = "0.16.78";
            src = "${rustPlatform.importCargoLock { lockFile = ./Cargo.lock; }}"
              + "/tigerbeetle-unofficial-sys-0.14.28+0.16.78/tigerbeetle";
            dontConfigure = true;
            buildPhase = ''
              export ZIG_GLOBAL_CACHE_DIR=$TMPDIR/zig-cache
              ${zig}/bin/zig build -Drelease -Dconfig-release=0.16.78 -Dconfig-release-client-min=0.16.78 \
                -Dgit-commit=c3d9b09dc88e94dde9ac915c6e94a4c650332080
            '';
            installPhase = "install -D tigerbeetle $out/bin/tigerbeetle";
          };

          tollgate = rustPlatform.buildRustPackage (variables // {
            pname = "tollgate";
            version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package.version;
            src = self;
            cargoLock.lockFile = ./Cargo.lock;
            buildFeatures = [ "tigerbeetle" ];
            preBuild = "export ZIG_GLOBAL_CACHE_DIR=$TMPDIR/zig-cache";
            # The tests start servers and a browser: `cargo xtask test` runs them, in the shell.
            doCheck = false;
          });

          shell = pkgs.mkShell (variables // {
            packages = [ rust zig tigerbeetle pkgs.curl pkgs.python3 ] ++ pkgs.lib.optional pkgs.stdenv.isLinux pkgs.chromium;
            TB_BIN = "${tigerbeetle}/bin/tigerbeetle";
            NODE_BIN = "${pkgs.nodejs}/bin/node";
          });
        in
        { inherit tigerbeetle tollgate shell; };

      systems = nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] forSystem;
      each = nixpkgs.lib.mapAttrs (_: select: nixpkgs.lib.mapAttrs (_: select) systems);
    in
    each {
      packages = made: { default = made.tollgate; inherit (made) tollgate tigerbeetle; };
      devShells = made: { default = made.shell; };
    };
}
