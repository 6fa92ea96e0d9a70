"""What a BIDS data set says of a recording in the files beside it.

Gorgolewski et al. 2016, Sci. Data 3:160044; EEG: Pernet et al. 2019; MEG: Niso et al. 2018; iEEG: Holdgraf et
al. 2019. Who a recording is of comes from the path, as everywhere.
"""
