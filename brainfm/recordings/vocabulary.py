"""Words that an annotation may keep: those of the field, of experiments and of plain description.

``mark``, ``will`` and ``may`` are not here, being first names. Some words of experiments are family names
as well: `SURNAMES` go behind a title and, with a capital, beside what was taken out.
Seizure and artefact words follow ILAE's and TUH's lists, sleep stages AASM and Rechtschaffen and Kales,
motor imagery and ERP events MOABB's.
"""

from __future__ import annotations

_RECORDING = """
biocal imp recall recalls doing sits lies lying supine alerting
acq acquisition amp amplifier average avg bad baseline bdf beep begin bgin blank block boundary break
buffer calibration cap cell chan channel channels check clip clipping clock comment computer contact
contacts continue continued cue data dbs dc dead detached detection digital din disconnect disconnected
ecg ecog edf edge eeg ekg electrode electrodes emergency emg end ended ending ends eog epoch epochs
eprime error event events eximia experiment export fade file filter finish finished fix fixation flag
flat fmri full gain gap ground hardware high highpass hz idle ieeg impedance impedances initial input
interruption interval isi iti jump jumps khz led lost low lowpass ltm machine manual marker markers max
meas measurement meg min missing mode montage mri new nirs noise noisy none note off offset on onset open
operator output overflow paradigm pause paused plug point polygraph post pre preparation protocol pulse
raw rec record recorded recorder recording recordings ref reference rejected remote repeat reset restart
resting resume resumed run sample saturated saturation scan scanner seeg segment segments sensor sess
session setup signal skip software spare spectrum start started starting starts status stim stimulation
stimuli stimulus stop stopped switch sync synch synchronisation synchronization system tacs task tdcs
technical test tests time timeout tms tr tracker trial trials trig trigger triggers trsp unit unknown
unplug user value version video volume volumes wait waiting warning window xlevent xlspike
"""
_CLINICAL = """
absz atsz calb eybl hphs intr nesz trip
abnormal absence absences activity alert alpha amplitude anterior apnea apnoea arousal arousals aroused
artefact artefacts artf artifact artifacts asleep asymmetric asymmetry asymptomatic ataxia atonic
attenuation atypical aura automatism automatisms awake awakening background bckg beta bilat bilateral
bitemporal blink blinking blinks breach breath breathe breathing burst bursts burstsuppression button
carbamazepine cardiac central chew chewing chin chronic clear clonic clonus cnsz complex complexes
confused confusion consciousness convulsion convulsions convulsive cough coughing cpsz cry crying
decerebrate delta desaturation diazepam diffuse discharge discharges disorganized dose drowsiness drowsy
drug eat eating eleb elec electrical electrographic elpo elpp elst encephalopathy epigastric epilepsy
epileptic epileptiform episode episodes eye eyebl eyelid eyem eyes fast febrile fever fine fist fits
flicker fnsz focal forehead fpz frontal fronto frontocentral frontotemporal gamma general generalised
generalized gnsz gpd gped gpfa grda groan hand hfo hfos hv hyperventilate hyperventilating
hyperventilation hypnagogic hypnogram hypoxia hypsarrhythmia ictal icu idiopathic ied ieds implanted
infant injection interictal intermittent irregular ischemia jaw jerk jerking jerks kcomplex lambda
laryngospasm lateralized laughing leads leg leva levetiracetam light limb limbs lorazepam lpd lrda lt
lumbar medication mental midazolam midline monomorphic mouth movement movements moving mu multifocal musc
muscle muscular myoclonic myoclonus mysz nap nasal neonatal nocturnal nonspecific normal nystagmus occ
occipital opens par parietal paroxysmal partial patient patients pdr periodic phenobarbital phenytoin
photic photo photoconvulsive photomyoclonic photoparoxysmal physiological plds pled pleds polymorphic
polyspike polyspikes posterior postictal preictal propofol provocation psychogenic pushbutton rda
reaction respiration respiratory response responsive responsiveness rest rhythm rhythmic rigid rt sedated
sedation seiz seizing seizure seizures semirhythmic shake shaking sharp sharps shiv shiver shivering sigh
sleep sleeping sleeps sleepy slow slowing slows snore snoring sob spasm spasms speech spike spikes
spikewave spindle spindles spontaneous spsw spsz stare staring stiff stiffening stiffness subclinical
suppressed suppression swallow swallowing sweat sweating symmetric sympathetic synchronous sz szs talk
talking tcsz temp temporal tense tension theta tired tnsz tongue tonic tonicclonic transient transients
tremor triphasic twitch twitches twitching unilateral unresponsive valproate vegetative vent ventilator
vertex vocalisation vocalization vomit vomiting wake wakefulness waking walking wave waves wicket yawn
yawning
"""
_SLEEP = """
aasm hypopnea hypopnoea lights nonrem nrem plm plms rapid rem rera slowwave stage staging sws unscored
"""
_EXPERIMENT = """
a about above action adaptive after again all alone alternating an and angry animal animals any apple
arithmetic array arrow at attend attended attention auditory away back backward ball before below big
bike bisyllabic black blue body both bottle bottom box brown buttons by cal car cat catch category center
centre chair change character checkerboard choice circle click clicks close closed closes closing
cognitive color colour command condition congruent conscious control correct count counter counting cross
cube cued dark day decision deep delay delayed deviant diff difference different digit direct direction
disgust display distractor distractors dog door dot dots double down during dynamic each ear ears easy
eight elbow emotion emotional empty encode encoding eriksen ern erp even exclude execute executed
execution exhale expected extension external face faces false familiar famous far fear fearful feedback
feet female field fifth finger fingers first five fixate flanker flash flashes flexion flip foot for
force forward four fourth frame frequency from front fruit fusion game gaze go goal grasp gray green grey
grip group half happy hard he head hear hearing her him his hit hold horizontal hot house houses hundred
image imagery imagine imagined imagining in incongruent incorrect index inhale inhibit instruction
instructions intended into inward is it item items jittered joystick key keyboard keypress kick knee
language large last late left lefthand letter letters level lift like line lip lips list listen listening
load location long look looking loud loudness male man mask masked masking match matched math maze memory
message middle minute minutes mismatch miss missed mixed moment motion motor mouse move ms msec music
navigation near negative neutral next night nine no nogo non nonmatch nonsense nontarget nontargets not
noun nouns novel null number numbers object objects odd oddball of old one only or orange other out
outward over own p300 pain pair palm passive past pattern perception person phase picture pictures pinch
pink pitch place play played playing position positive practice prepare presentation presented press
pressed presses prime probe problem product prompt pronate pronation pronunciation pseudoword pull purple
push question quiet random rare rate reach reaching read reading real recall recognition recognize red
rehearsal relax relaxation relaxed release remember resp respond responses retention retrieval reward
right righthand ring rotate rotated rotation round row rows rsvp rule running saccade saccades sad same
scene scenes scrambled screen sec second seconds secs see selection sentence set seven shape shapes she
short show shown side silence sing single sit sitting six size small smell smile so soft somatosensory
some song sound sounds space speak speaker speaking speed speller sqrt square squeeze ssvep stable
standard standing static stay step story strategy stroop subject subjects subtract subtraction sum
supination surprise syllable symbol tactile target targets ten that the their then there thing think
thinking third this thousand three thumb tiles to toe tool top touch touching toward tracking train
training triangle true turn turned turning turns two type unattended under unfamiliar unseen up upper
upward verb verbal vertical vibration view visual voice vs walk warm was watch watching were what when
where which while white whole with without woman word words working wrist writing wrong yellow yes you
zero
"""

_NAMES = """
ball black blank block box brown button chan chin close cross dark day deep even field fine fix foot
forward gray green grey hand hard head house key large light long low man max pain palm pink post read
ring sharp short sing small song speed story swallow wake warm white
"""

_MESSAGES = """
access allocate allowed already ambiguous annotation annotations appear appears applied are argument
arguments array arrays ascii attempt attempted attribute attributes available axes axis bad base based
because been bins bit bool boolean bounds broadcast buffer but byte bytes calibrations can cannot
characters codec column columns compatible compressed compression contain contains continuation convert
converted coordinate corrupt corrupted could create dataset datasets date day decode decoding defined
denied depth descriptor determine device dict did digital dimension dimensional dimensions directory disk
division does doesn dtype duplicate duration either element elements encode encountered enough entries
entry eof equal errno exceeded exceeds exist exists expect expected failed fields files find float float32
float64 floating format formats formed found function getting gib given got greater group has have header
headers here id illegal implemented incompatible incomplete inconsistent indices infinity info int int16
int32 int64 integer integers internal invalid iterable key keys larger least len length lengths less
literal loading lookup many mapping match matches matlab maximum maxsplit memory method mib minimum
mismatch mismatched mne module month more multiple must name named names nan ndarray need needs negative
nonetype nor numpy obj open opened operand operands operation option order outside overflow parameter
parse parsing path permission pickle please point pointer points possible precision projectors properly
range reached reader received recognised recognized recursion region requested required requires reshape
resource samples sampling scalar sequence shape should signals size sizes smaller source specified str
string strings structure subscriptable support supported sure symbol synchronously tag than together token
too truncated tuple types unable undefined unexpected unicode unit units unpack unrecognized unsupported
use used using utf valid values variable well whether width written xml year zlib
"""

WORDS = frozenset(f"{_RECORDING} {_CLINICAL} {_SLEEP} {_EXPERIMENT}".split())
"""The vocabulary, in lower case."""

MESSAGES = frozenset(_MESSAGES.split())
"""Words beside the vocabulary's that the message of an error may keep, in lower case."""

SURNAMES = frozenset(_NAMES.split())
"""Words of the vocabulary that people are called, in lower case."""
