"""Who rents machines: one module for each provider, all behind interfaces.Provider."""
