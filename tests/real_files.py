"""The real experiment files that tests read (`sxdask.testing.sample_files`), by name."""

from __future__ import annotations

TTREES = (
    "PHYSLITE_example",
    "delphes",
    "edm4hep",
    "edm4hep_ILD_mumuH_v01-00_podio_v01-07_10ev",
    "missing_luminosityBlock",
    "nano_dimuon",
    "nano_dy_SpecialTree",
    "nano_dy_empty",
    "nano_tree",
    "nano_tt_v12",
    "nano_tt_v15",
    "p8_ee_WW_ecm240_edm4hep",
    "pduneana",
    "pfnano",
    "scouting_nano",
    "test_FCC_Spring2021",
    "test_FCC_Winter2023",
    "treemaker",
)
RNTUPLES = (
    "nano_dimuon_rntuple",
    "nano_dy_SpecialTree_rntuple",
    "nano_dy_empty_rntuple",
    "nano_tree_rntuple",
    "pfnano_rntuple",
    "treemaker_rntuple",
)
