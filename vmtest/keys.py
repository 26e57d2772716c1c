# SPDX-License-Identifier: GPL-2.0-only
"""Fresh Ed25519 keys for one run: made in memory, gone with the run."""

from __future__ import annotations

import io
from dataclasses import dataclass

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class KeyPair:
    """A private key as OpenSSH text, and the same as an object of the SSH library."""

    private: str
    key: paramiko.Ed25519Key

    @classmethod
    def fresh(cls) -> KeyPair:
        """A new random pair."""
        raw = Ed25519PrivateKey.generate()
        text = raw.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        return cls(text, paramiko.Ed25519Key(file_obj=io.StringIO(text)))

    @property
    def public_line(self) -> str:
        """The public key as a line of ``authorized_keys``."""
        return f"{self.key.get_name()} {self.key.get_base64()}\n"
