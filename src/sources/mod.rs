//! Where messages come from, each with a ledger of the receipts it handed out.
