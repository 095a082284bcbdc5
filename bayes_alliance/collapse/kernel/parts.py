"""Where the parts of packed statistics stand: the first numbers of the array of integers.

First come counts, then the place of each part of the integers, then that of each part of the floats. A *node* is a unit
of a level of the chain that is eliminated by itself; its *layers* are tables of cross-products, each of a *kind* that
says which weight multiplies products of which two equations. A *pattern* is a group of units of the innermost factor
with the same cross-products of covariates, eliminated together; a *cell* is what its units in one *target* (an outer
unit, or the last block) add up to. A *piece* is what a product of loadings multiplies in the rows of a class; SDs of
effects count by the array of SDs, in which residual SDs stand behind those of effects.
"""

from __future__ import annotations

(
    LEVELS,
    OUTCOMES,
    COEFS,
    CROSSED_COLUMNS,
    FACTORS,
    SIGMAS,
    CLASSES,
    PATTERNS,
    ROWS,
    TARGETS,
    ROOT_LAYERS,
    CROSSED_FACTORS,
    LAMBDA_SIZE,
    WEIGHTS_SIZE,
    WORK_SIZE,
) = range(0, 15)

(
    LEVEL_FACTOR,
    LEVEL_FIRST,
    LEVEL_WIDTH,
    NODE_LEVEL,
    NODE_ABOVE,
    NODE_STRATUM,
    NODE_LAST,
    NODE_COLUMNS,
    NODE_AT,
    NODE_LAYERS,
    LAYER_KIND,
    LAYER_AT,
    COLUMN_LIST,
    COLUMN_EQUATION,
    KIND_WEIGHT,
    ROOT_KIND,
    PATTERN_STRATUM,
    PATTERN_WEIGHT,
    PATTERN_COUNT,
    TARGET_NODE,
    TARGET_CELLS,
    CELL_PATTERN,
    CELL_AT,
    CLASS_SIZE,
    CLASS_OUTCOME,
    CLASS_SIGMA,
    CLASS_STRATUM,
    CLASS_GAP,
    CLASS_COUNT,
    CLASS_WEIGHT,
    FACTOR_SIZE,
    FACTOR_STRATA,
    FACTOR_LAMBDA,
    FACTOR_BASIS,
    FACTOR_SD,
    FACTOR_BLOCKS,
    BLOCK_SIZE,
    BLOCK_MEMBERS,
    BLOCK_COR,
    CROSSED_FACTOR,
    CROSSED_START,
    CROSSED_LEVELS,
    CROSSED_STRATUM,
    PRIOR_CODE,
    SIGMA_PLACE,
    JOINT,
    CLASS_PIECES,
    PIECE_WEIGHT,
    PIECE_PLACE,
    PIECE_LOADINGS,
    LOADING_LIST,
    LOADING_PLACE,
    SHIFT_COEF,
    SHRUNK,
    SHRUNK_SLOT,
    SHRUNK_COUNT,
    MIX,
    UNMIX,
    STATE,
    FACTOR_STEP,
) = range(15, 75)

(
    LAYER_TABLES,
    ROOT_TABLES,
    PATTERN_OWN,
    CELL_SUMS,
    BASES,
    PRIOR_VALUE,
    COR_SHAPE,
    FIXED_COR,
    LOADING_PRIOR,
    SHIFT_BY,
    CONSTANT,
    SHRUNK_VALUE,
    MIX_WEIGHT,
    UNMIX_WEIGHT,
) = range(75, 89)

HEAD = 89
"""Length of the head."""
