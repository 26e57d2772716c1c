# SPDX-License-Identifier: GPL-2.0-only
"""Fresh Ed25519 keys for one run: made in memory, gone with the run."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True)
class KeyPair:
    """A private key as OpenSSH text, and its public half as a line of ``authorized_keys``."""

    private: str
    public_line: str

    @classmethod
    def fresh(cls) -> KeyPair:
        """A new random pair."""
        raw = Ed25519PrivateKey.generate()
        text = raw.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        public = raw.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return cls(text, f"{public}\n")

    @property
    def public_blob(self) -> bytes:
        """The public half as SSH sends it."""
        return base64.b64decode(self.public_line.split()[1])

    @property
    def key(self) -> paramiko.Ed25519Key:
        """The pair as an object of the SSH library, which is loaded for it: first needed when a guest is up."""
        import paramiko

        return paramiko.Ed25519Key(file_obj=io.StringIO(self.private))
